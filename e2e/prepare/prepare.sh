#!/usr/bin/env bash
# Makes a machine ready: prepare.sh [PURPOSE]
#
# PURPOSE says what for, and only what that needs is installed and built: demo, quick, test, faults,
# bench; without one, all. It says what it waits for; what is there already costs a second. An
# engine it started goes on running, until clean.sh. ACTION_IMAGE_FILE=FILE: the id of the action's
# image is written there, since its name may soon be another checkout's.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=jobs.sh
. "$prepare_dir/jobs.sh"
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$prepare_dir/packages.sh"
# shellcheck source-path=SCRIPTDIR source=engine.sh
. "$prepare_dir/engine.sh"
# shellcheck source-path=SCRIPTDIR source=images.sh
. "$prepare_dir/images.sh"
# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$prepare_dir/tools.sh"

# What each purpose needs besides a host, the action, and what these take.
declare -A needs=(
  [demo]='demo'
  [quick]='sshd'
  [bench]='wrk'
  [faults]='s3'
  [test]='sshd race trixie with s3 act examples'
  [all]='demo sshd race trixie with s3 act examples wrk'
)

main() {
  local purpose=${1:-all}
  [[ -n ${needs[$purpose]-} ]] || die "there is no purpose $purpose; there are: ${!needs[*]}"
  exec 8>"$state/prepare.lock"
  flock --nonblock 8 || {
    say 'waiting for another preparation on this machine to end'
    flock 8 # two at once would start two engines
  }
  trap stop_jobs EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Programs need only Go, so they are built while packages are installed; the images need an
  # engine.
  if needed demo; then job ensure_demo; fi
  if needed s3; then job ensure_s3; fi
  if needed act; then job ensure_act; fi
  install_packages
  if needed examples; then job ensure_examples; fi
  ensure_engine
  raise_inotify
  small_tables
  job ensure_action
  job ensure_hosts bookworm
  if needed trixie; then job ensure_hosts trixie; fi
  finish_jobs
  say "ready after $SECONDS s"
}

# needed WORD: does the purpose need it? Uses main's purpose.
needed() { [[ " ${needs[$purpose]} " == *" $1 "* ]]; }

main "$@"
