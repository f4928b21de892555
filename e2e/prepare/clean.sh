#!/usr/bin/env bash
# Takes back what prepare.sh made: the images, and the engine if it was started there; and what
# tests that were killed have left. Packages stay.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=engine.sh
. "$prepare_dir/engine.sh"
# shellcheck source-path=SCRIPTDIR source=images.sh
. "$prepare_dir/images.sh"
# shellcheck source-path=SCRIPTDIR source=labs.sh
. "$prepare_dir/labs.sh"

main() {
  local images
  exec 9>"$state/users.lock"
  flock --exclusive --nonblock 9 || die 'a command of another terminal uses the images: end it first'
  if engine_answers; then
    no_lab_lives || die 'a test that uses the images runs: end it first'
    sweep_labs
    mapfile -t images < <(
      docker image ls --quiet --filter label=deploy-action.stand-in
      docker image ls --quiet --filter label=deploy-action.host
    )
    # One that is not there is gone already.
    docker image rm --force -- "${images[@]}" "$action_image" >/dev/null 2>&1 || true
  fi
  stop_engine 9>&-
  rm -rf -- "$state"
}

main "$@"
