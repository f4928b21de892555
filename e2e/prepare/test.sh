#!/usr/bin/env bash
# Runs every test, packages side by side and scenarios too: test.sh
#
# Prints what go test does, and before the line of a package that has scenarios which of them took longest. Exits as
# go test does.
set -euo pipefail

# with_times DIR: copies standard input, with the file in DIR that is named like a package before that package's line.
with_times() {
  awk -v dir="$1" '
    $1 == "ok" || $1 == "FAIL" {
      n = split($2, part, "/")
      while (n && (getline line <(dir "/" part[n])) > 0) print line
    }
    { print; fflush() }'
}

main() {
  local times
  cd -- "$(dirname -- "$0")/../.."
  times=$(mktemp -d)
  trap 'rm -rf -- "$times"' EXIT
  go build -race ./... # first, with all cores: nothing that is measured waits for it
  SCENARIO_TIMES=$times go test -race -shuffle=on -timeout 80m ./... | with_times "$times"
}

main "$@"
