#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl.
#
# Values: app, path, lock_token, line (JSON; the last thousand are kept), history (how many to
#         print)
# Prints: history_N (oldest first): a line of deploys.jsonl, this one the last; recorded (yes)

main() {
  own_lock
  {
    { tail -n 999 -- "$path/deploys.jsonl" 2>/dev/null || :; } | awk -v most="$max_history" 'length <= most'
    printf '%s\n' "$line"
  } | write "$path/deploys.jsonl" 0644
  print_history "$history"
  result recorded yes
}

main "$@" </dev/null
