#!/usr/bin/env bash
# Runs the tests that need no host, and the main scenario, which needs one: quick.sh
set -euo pipefail

# A redeployment under load. A name that no test has is a failure: go test runs nothing then, and is
# content.
scenario=TestFirstDeploymentAndTheNext/Debian_12

main() {
  local packages
  cd -- "$(dirname -- "$0")/../.."
  # Whole packages: `make test` runs the few tests without hosts that stand among those with.
  mapfile -t packages < <(go list ./... | grep -vE '/e2e(/lab|/faults)?$')
  go test -shuffle=on "${packages[@]}"
  go test -count=1 -v -run "^${scenario/\//\$/^}\$" ./e2e | tee /dev/stderr \
    | grep -c -- "--- PASS: $scenario " >/dev/null || {
    printf 'quick: %s did not pass\n' "$scenario" >&2
    exit 1
  }
}

main "$@"
