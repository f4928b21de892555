#!/usr/bin/env bash
# Runs the tests that need no host, and the main scenario, which needs one: quick.sh
set -euo pipefail

main() {
  local packages
  cd -- "$(dirname -- "$0")/../.."
  # Whole packages: `make test` runs the few tests without hosts that stand among those with.
  mapfile -t packages < <(go list ./... | grep -vE '/e2e(/lab|/faults)?$')
  go test -shuffle=on "${packages[@]}"
  go test -count=1 -run '^TestFirstDeploymentAndTheNext$/^Debian_12$' ./e2e
}

main "$@"
