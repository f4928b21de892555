#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl.
#
# Values: app, path, lock_token, line (JSON)
# Prints: recorded (yes)

main() {
  own_lock
  printf '%s\n' "$line" >>"$path/deploys.jsonl"
  result recorded yes
}

main "$@" </dev/null
