#!/usr/bin/env bash
# Makes a machine ready for the demo and the tests: prepare.sh
#
# Installs the packages that are missing, starts a container engine when none answers, and builds the images. It says
# what it does; what is there already costs a second. An engine it started goes on running, until clean.sh.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$prepare_dir/packages.sh"
# shellcheck source-path=SCRIPTDIR source=engine.sh
. "$prepare_dir/engine.sh"
# shellcheck source-path=SCRIPTDIR source=images.sh
. "$prepare_dir/images.sh"
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$prepare_dir/tools.sh"

main() {
  exec 8>"$state/prepare.lock"
  flock 8 # two at once would start two engines
  trap '[[ -z $scratch ]] || rm -rf -- "$scratch"' EXIT
  install_packages
  ensure_engine
  ensure_s3
  ensure_act
  ensure_golang
  ensure_host bookworm
  ensure_host trixie
  ensure_hosts_with
  ensure_action
  say ready
}

main "$@"
