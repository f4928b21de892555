#!/usr/bin/env bash
# Prints the name of a test host's image: image.sh RELEASE [LIST]
#
# LIST is a file in the folder with, RELEASE-LIST: the packages that the host has besides. The name
# holds a hash of all that the image is made of, so an image that has its name is up to date,
# whatever other checkouts on the machine build.
set -euo pipefail
export LC_ALL=C

main() {
  local name=$1${2:+-$2}
  cd -- "$(dirname -- "$0")"
  local recipe=(build.sh plain-init.sh setup.sh wheels.py)
  [[ -z ${2-} ]] || recipe+=("with/$name")
  printf 'deploy-action-host:%s-%s\n' "$name" "$(sha256sum -- "${recipe[@]}" | sha256sum | cut -c1-12)"
}

main "$@"
