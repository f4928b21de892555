#!/usr/bin/env bash
# Runs every test, packages side by side and scenarios too: test.sh
#
# Prints what go test does, and before the line of a package that has scenarios which of them took longest. Exits as
# go test does.
set -euo pipefail

# with_times DIR: copies standard input, with the file in DIR that is named like a package before that package's line. Each
# line at once: awk would hold them back until there are many.
with_times() {
  local line verdict package
  while IFS= read -r line || [[ -n $line ]]; do
    read -r verdict package _ <<<"$line"
    if [[ ($verdict == ok || $verdict == FAIL) && -f $1/${package##*/} ]]; then cat -- "$1/${package##*/}"; fi
    printf '%s\n' "$line"
  done
}

main() {
  cd -- "$(dirname -- "$0")/../.."
  times=$(mktemp -d)
  trap 'rm -rf -- "$times"' EXIT # which stands when this function has ended
  go build -race ./... # first, with all cores: nothing that is measured waits for it
  SCENARIO_TIMES=$times go test -race -shuffle=on -timeout 80m ./... | with_times "$times"
}

main "$@"
