#!/usr/bin/env bash
# Makes the pictures of the documents: pictures.sh FOLDER. Installs Chromium and mermaid first,
# where they are missing.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$prepare_dir/packages.sh"
me=pictures

# What GitHub draws charts with; a folder a version in the user's cache.
mermaid=mermaid@11.17.2

main() {
  local missing=() dir=${XDG_CACHE_HOME:-$HOME/.cache}/deploy-action/$mermaid
  need chromium chromium
  need npm npm
  fc-list 2>/dev/null | grep -q 'Noto Color Emoji' \
    || missing+=(fonts-noto-core fonts-noto-color-emoji fonts-dejavu-core)
  install_missing
  if [[ ! -d $dir ]]; then
    say "fetching $mermaid"
    rm -rf -- "$dir.partial"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$dir.partial" "$mermaid" \
      >"$state/npm.log" 2>&1 || {
      cat -- "$state/npm.log" >&2
      die "could not fetch $mermaid"
    }
    mv -T -- "$dir.partial" "$dir"
  fi
  mkdir -p -- "$1"
  cd -- "$root"
  exec go run ./e2e/pictures "$dir/node_modules/mermaid/dist/mermaid.min.js" "$1"
}

main "$@"
