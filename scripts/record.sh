#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl.
#
# Values: app, path, lock_token, line (JSON; the last thousand are kept), history (how many to
#         print)
# Prints: history_N (oldest first): a line of deploys.jsonl, this one the last; recorded (yes)

main() {
  local one text='' lines=()
  own_lock
  if [[ -r $path/deploys.jsonl ]]; then mapfile -t lines < <(tail -n 999 -- "$path/deploys.jsonl"); fi
  for one in "${lines[@]}"; do
    if ((${#one} <= max_history)); then text+=$one$'\n'; fi
  done
  write "$path/deploys.jsonl" 0644 "$text$line"$'\n'
  print_history "$history"
  result recorded yes
}

main "$@" </dev/null
