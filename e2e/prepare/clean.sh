#!/usr/bin/env bash
# Takes back what prepare.sh made: the images, and the engine if it was started there; and what tests that were killed have left. Packages stay.
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
  if engine_answers; then
    sweep_labs
    mapfile -t images < <(
      docker image ls --quiet --filter label=deploy-action.stand-in
      docker image ls --quiet --filter label=deploy-action.host
    )
    docker image rm --force -- "${images[@]}" "$action_image" >/dev/null 2>&1 || true # one that is not there is gone already
  fi
  stop_engine
  rm -rf -- "$state"
}

main "$@"
