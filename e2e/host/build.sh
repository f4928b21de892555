#!/usr/bin/env bash
# Builds a test host's image: build.sh RELEASE [LIST]. Needs mmdebstrap, a running engine, and root
# or a kernel that lets a user map further users; with a LIST (see image.sh), only the engine and
# the release's own image.
#
# mmdebstrap and not a Dockerfile: there may be no image registry in reach, while a Debian mirror
# is.
set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd)

packages=(
  systemd systemd-sysv dbus libpam-systemd openssh-server nginx sudo
  python3 python3-venv git git-lfs curl ca-certificates iproute2 procps lsof libfaketime
)
# Only a source of wheels, and not installed: see setup.sh.
wheels=(
  python3-fastapi python3-uvicorn python3-websockets python3-httptools python3-uvloop python3-gunicorn
  python3-django python3-whitenoise
)

# A folder in memory, where there is enough, makes the build twice as fast: it writes many small
# files.
in_memory() {
  local free
  free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
  ((free > 2 * 1024 * 1024)) && mount -t tmpfs -o size=2g,mode=1777 deploy-action-host "$1" 2>/dev/null
}

# tree RELEASE: writes the host's files as a tar archive. No manual pages and translations: nobody
# reads them there.
tree() {
  local names=${packages[*]} download="APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get -qq install --yes --download-only"
  download+=" -o Dir::Cache::archives=\"\$1\"/tmp/recipe/debs ${wheels[*]} >/dev/null"
  # shellcheck disable=SC2016 # mmdebstrap's hooks get the tree as $1
  mmdebstrap --quiet --variant=minbase --include="${names// /,}" \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='mkdir -p "$1/tmp/recipe/debs/partial"' \
    --customize-hook="copy-in $here/setup.sh $here/wheels.py $here/plain-init.sh /tmp/recipe" \
    --customize-hook="$download" \
    --customize-hook='chroot "$1" bash /tmp/recipe/setup.sh' \
    --customize-hook='rm -r "$1/tmp/recipe"' \
    "$1" -
}

# build RELEASE IMAGE
build() {
  local release=$1 image=$2 scratch id
  case $release in
    bookworm) wheels+=(python3-multipart) ;;
    *) wheels+=(python3-python-multipart) ;; # the other name is another project's there
  esac
  scratch=$(mktemp -d)
  # shellcheck disable=SC2064 # the name of now, not of then
  trap "umount '$scratch' 2>/dev/null || :; rm -rf -- '$scratch'" EXIT
  # The users that are mapped go in there.
  if ((EUID == 0)); then in_memory "$scratch" || :; else chmod 0711 "$scratch"; fi
  # The name comes last: an archive that was cut off may have been taken for a whole one. systemd
  # learns from $container where it is.
  id=$(TMPDIR=$scratch tree "$release" | docker import --change 'ENV container=docker' --change 'CMD ["/sbin/init"]' \
    --change "LABEL deploy-action.host=$release" -)
  docker tag "$id" "$image"
}

# build_with RELEASE IMAGE LIST: on top of the release's own image.
build_with() {
  local packages
  packages=$(grep -v '^#' -- "$here/with/$1-$3")
  docker build --quiet --force-rm --tag "$2" - >/dev/null <<DOCKERFILE
FROM $("$here/image.sh" "$1")
RUN apt-get -qq update \\
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends ${packages//$'\n'/ } \\
    && apt-get clean && rm -rf /var/lib/apt/lists/*
DOCKERFILE
}

main() {
  local image
  image=$("$here/image.sh" "$@")
  if (($# == 2)); then
    build_with "$1" "$image" "$2"
  elif ((EUID != 0)) || [[ ${UNSHARED-} == "$BASHPID" ]]; then
    build "$1" "$image"
  else
    UNSHARED=$BASHPID exec unshare --mount --propagation private -- "$0" "$@" # mounts of its own, which go with it
  fi
}

main "$@"
