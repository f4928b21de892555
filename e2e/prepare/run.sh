#!/usr/bin/env bash
# Prepares the machine for a purpose (see prepare.sh), then runs a command: run.sh PURPOSE COMMAND
# ARGUMENT...
#
# An engine that had to be started for it is stopped when the last command that uses it has ended.
# ACTION_IMAGE is set to the image that was built, unless another one is to be tried: its name may
# soon be another checkout's. Exits as the command does.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=engine.sh
. "$prepare_dir/engine.sh"
# shellcheck source-path=SCRIPTDIR source=labs.sh
. "$prepare_dir/labs.sh"

# Everybody who uses the engine holds the lock shared; who then gets it alone was the last one.
leave() {
  local status=$?
  rm -f -- "$image"
  flock --unlock 9
  if [[ -e $state/stop-engine ]] && flock --exclusive --nonblock 9; then
    # The go command dies of SIGTERM at once, and the test that it runs still removes what it has
    # started.
    wait_for 30 no_lab_lives || :
    stop_engine
  fi
  exit "$status"
}

main() {
  exec 9>"$state/users.lock"
  flock --shared --nonblock 9 || {
    say 'waiting for the container engine to be stopped'
    flock --shared 9
  }
  image=$(mktemp)
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  STOP_ENGINE_AFTERWARDS=1 ACTION_IMAGE_FILE=$image "$prepare_dir/prepare.sh" "$1" 9>&-
  export ACTION_IMAGE=${ACTION_IMAGE:-$(<"$image")}
  shift
  # C is for the scripts here only.
  if [[ -n $callers_locale ]]; then export LC_ALL=$callers_locale; else unset LC_ALL; fi
  cd -- "$root"
  "$@" 9>&-
}

main "$@"
