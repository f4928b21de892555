# shellcheck shell=bash
# Builds the programs that the tests run beside the action. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

ensure_s3() { ensure_tool github.com/versity/versitygw/cmd/versitygw s3Version e2e/lab/s3.go; }

ensure_act() { ensure_tool github.com/nektos/act actVersion e2e/act_test.go; }

# ensure_tool PACKAGE CONSTANT FILE: the program is kept in the user's cache, a folder a version; the constant in the Go file says which, and
# the tests find it there.
ensure_tool() {
  local name=${1##*/} version dir
  version=$(sed -n "s/^const $2 = \"\(.*\)\"\$/\1/p" "$root/$3")
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/deploy-action/$name@$version
  [[ ! -d $dir ]] || return 0
  say "building $name $version (a minute or two)"
  rm -rf -- "$dir.partial"
  GOBIN=$dir.partial GOFLAGS='' go install "$1@$version" >"$state/build.log" 2>&1 || {
    cat -- "$state/build.log" >&2
    die "could not build $name"
  }
  mv -T -- "$dir.partial" "$dir"
}
