# shellcheck shell=bash
# What the scripts of this folder share. Sourced.

# shellcheck disable=SC2034 # used by who sources this
callers_locale=${LC_ALL-}
export LC_ALL=C

prepare_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by who sources this
root=$(cd -- "$prepare_dir/../.." && pwd)
# Locks, and the pid and log of an engine that was started from here. One folder for all checkouts
# of a machine's user.
state=${TMPDIR:-/tmp}/deploy-action-$(id -u)
mkdir -p -- "$state"

me=prepare # who speaks
say() { printf '%s: %s\n' "$me" "$*"; }

die() {
  printf '%s\n' "${@/#/$me: }" >&2
  exit 1
}

# as_root COMMAND...: runs it as root, through sudo when needed.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "this needs root, and there is no sudo: $*"
  fi
}

# wait_for SECONDS COMMAND...: asks until the command succeeds; fails when it never did.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1 # between two questions
  done
}
