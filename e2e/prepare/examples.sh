#!/usr/bin/env bash
# Prints the folder with what hosts without a network need to run the examples for Node.js, and makes
# it where it is missing: examples.sh
#
# In it are npm, a cache of npm's with all that `npm ci` in examples/express asks for, and standalone,
# what the steps of examples/workflows/nextjs.yml make of examples/nextjs. Its name holds a hash of
# all that it is made of.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "$0")/common.sh"

# of: a hash of the examples as they are in the checkout.
of() {
  cd -- "$root"
  find e2e/prepare/examples.sh examples/express examples/nextjs -type d \( -name node_modules -o -name .next \) -prune \
    -o -type f -print0 | sort -z | xargs -0 sha256sum -- | sha256sum | cut -c1-12
}

# make FOLDER
make() {
  cp -r -- "$root/examples/express" "$root/examples/nextjs" "$1"
  (cd -- "$1/express" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --cache "$1/npm")
  (cd -- "$1/nextjs" && npm ci --no-audit --no-fund && NEXT_TELEMETRY_DISABLED=1 GITHUB_SHA=example npm run build)
  mv -T -- "$1/nextjs/.next/standalone" "$1/standalone"
  rm -rf -- "$1/express" "$1/nextjs" "$1/npm/_logs"
}

main() {
  local dir partial
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/deploy-action/examples@$(of)
  if [[ ! -d $dir ]]; then
    mkdir -p -- "${dir%/*}"
    partial=$(mktemp -d -- "$dir.partial.XXXXXX")
    # shellcheck disable=SC2064 # the name of now, not of then
    trap "rm -rf -- '$partial'" EXIT
    make "$partial" >&2
    mv -T -- "$partial" "$dir" 2>/dev/null || [[ -d $dir ]] # another one was quicker
  fi
  printf '%s\n' "$dir"
}

main "$@"
