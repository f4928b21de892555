#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl, and in a release that it was gone back from.
#
# Values: app, path, lock_token, line (JSON; the last thousand are kept), history (how many to
#         print), gone_from (the release that a rollback, or a run that failed or was cancelled, has
#         gone back from, or nothing: the next rollback is not to go back to that)
# Prints: history_N (oldest first): a line of deploys.jsonl, this one the last; recorded (yes)

main() {
  local text=''
  own_lock
  if [[ -n $gone_from && -e $path/releases/$gone_from/.deploy-action/live ]]; then
    write "$path/releases/$gone_from/.deploy-action/left" 0644 ''
  fi
  if [[ -r $path/deploys.jsonl ]]; then
    text=$(tail -n 999 -- "$path/deploys.jsonl" | awk -v most="$max_history" 'length($0) <= most')
  fi
  write "$path/deploys.jsonl" 0644 "${text:+$text$'\n'}$line"$'\n'
  print_history "$history"
  result recorded yes
}

main "$@" </dev/null
