#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl.
#
# Values: app, path, lock_token, line (JSON; the last thousand are kept)
# Prints: recorded (yes)

main() {
  own_lock
  {
    tail -n 999 -- "$path/deploys.jsonl" 2>/dev/null || :
    printf '%s\n' "$line"
  } | write "$path/deploys.jsonl" 0644
  result recorded yes
}

main "$@" </dev/null
