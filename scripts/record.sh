#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl.
#
# Values: app, path, lock_token, line (JSON; the last thousand are kept), history (how many to
#         print)
# Prints: history_N (oldest first): a line of deploys.jsonl, this one the last; recorded (yes)

main() {
  local text=''
  own_lock
  if [[ -r $path/deploys.jsonl ]]; then
    text=$(tail -n 999 -- "$path/deploys.jsonl" | awk -v most="$max_history" 'length($0) <= most')
  fi
  write "$path/deploys.jsonl" 0644 "${text:+$text$'\n'}$line"$'\n'
  print_history "$history"
  result recorded yes
}

main "$@" </dev/null
