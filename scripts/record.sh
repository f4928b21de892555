#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl, and the slot nginx would fall back to if the flag were lost.
#
# Values: app, path, lock_token, line (JSON; the last thousand are kept), nginx_include, fallback (a line of the include, or nothing to leave it alone)
# Prints: fallback (written, already)

main() {
  local text
  own_lock
  {
    tail -n 999 -- "$path/deploys.jsonl" 2>/dev/null || :
    printf '%s\n' "$line"
  } | write "$path/deploys.jsonl" 0644
  if [[ -z $fallback ]] || grep -qxF -- "$fallback" "$nginx_include"; then
    result fallback already
  else
    text=$(FALLBACK=$fallback awk '/^set / { print ENVIRON["FALLBACK"]; next } { print }' "$nginx_include")
    write_root "$nginx_include" 0644 <<<"$text"
    result fallback written
  fi
}

main "$@" </dev/null
