#!/usr/bin/env bash
# Writes down what happened: one line in deploys.jsonl, and the slot nginx would fall back to if the flag were lost.
#
# Values: app, path, lock_token, line (JSON), nginx_include, fallback (a line of the include, or nothing to leave it alone)
# Prints: fallback (written, already)

main() {
  local text
  own_lock
  printf '%s\n' "$line" >>"$path/deploys.jsonl"
  if [[ -z $fallback ]] || grep -qxF -- "$fallback" "$nginx_include"; then
    result fallback already
  else
    text=$(FALLBACK=$fallback awk '/^set / { print ENVIRON["FALLBACK"]; next } { print }' "$nginx_include")
    write_root "$nginx_include" 0644 <<<"$text"
    result fallback written
  fi
}

main "$@" </dev/null
