#!/usr/bin/env bash
# Runs every test: test.sh
#
# First those that need no host, by a build that finds data races; then those with hosts, packages
# side by side and scenarios too, by a plain one: finding races costs their visitors half of a core.
# So are the tests whose work is done by bash, and those that a host fills with hundreds of
# megabytes, in which a race would not be found any sooner. Prints what go test does, and before the
# line of a package that has scenarios which of them took longest. Exits as go test does.
set -euo pipefail

# with_times DIR: copies standard input, with the file in DIR that is named like a package before
# that package's line. Each line at once: awk would hold them back until there are many.
with_times() {
  local line verdict package
  while IFS= read -r line || [[ -n $line ]]; do
    read -r verdict package _ <<<"$line"
    if [[ ($verdict == ok || $verdict == FAIL) && -f $1/${package##*/} ]]; then cat -- "$1/${package##*/}"; fi
    printf '%s\n' "$line"
  done
}

main() {
  local hosts=() status=0
  cd -- "$(dirname -- "$0")/../.."
  times=$(mktemp -d)
  trap 'rm -rf -- "$times"' EXIT # which stands when this function has ended
  mapfile -t hosts < <(go list ./e2e ./e2e/faults ./e2e/lab ./internal/attack ./scripts)
  # shellcheck disable=SC2046 # a package is a word
  go test -race -shuffle=on -timeout 20m $(go list ./... | grep -vxFf <(printf '%s\n' "${hosts[@]}")) || status=$?
  SCENARIO_TIMES=$times go test -shuffle=on -timeout 80m "${hosts[@]}" | with_times "$times" || status=$?
  return "$status"
}

main "$@"
