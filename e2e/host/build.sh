#!/usr/bin/env bash
# Builds the test host's image: build.sh IMAGE RECIPE-HASH. Needs root, mmdebstrap and a running engine.
#
# mmdebstrap and not a Dockerfile: there may be no image registry in reach, while a Debian mirror is.
set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd)

packages=(
  systemd systemd-sysv dbus libpam-systemd openssh-server nginx sudo
  python3 python3-venv python3-pip git git-lfs curl ca-certificates iproute2 procps lsof libfaketime
  # Only a source of wheels, and removed again: see setup.sh.
  python3-fastapi python3-uvicorn python3-websockets python3-multipart python3-httptools python3-uvloop
)

main() {
  local image=$1 recipe=$2 tree
  tree=$(mktemp --suffix=.tar)
  # shellcheck disable=SC2064 # the name of now, not of then
  trap "rm -f -- '$tree'" EXIT
  # shellcheck disable=SC2016 # mmdebstrap's hooks get the tree as $1
  mmdebstrap --quiet --variant=minbase --include="$(
    IFS=,
    printf %s "${packages[*]}"
  )" \
    --customize-hook='mkdir "$1/tmp/recipe"' \
    --customize-hook="copy-in $here/setup.sh $here/wheels.py $here/plain-init.sh /tmp/recipe" \
    --customize-hook='chroot "$1" bash /tmp/recipe/setup.sh' \
    --customize-hook='rm -r "$1/tmp/recipe"' \
    bookworm "$tree"
  # systemd learns from $container where it is.
  docker import --change 'ENV container=docker' --change 'CMD ["/sbin/init"]' \
    --change "LABEL recipe=$recipe" "$tree" "$image" >/dev/null
}

main "$@"
