# shellcheck shell=bash
# Builds act, which runs a workflow file on this machine. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

# It is kept in the user's cache, a folder a version; e2e/act_test.go says which, and finds it there.
ensure_act() {
  local version dir
  version=$(sed -n 's/^const actVersion = "\(.*\)"$/\1/p' "$root/e2e/act_test.go")
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/deploy-action/act@$version
  [[ ! -d $dir ]] || return 0
  say "building act $version (a minute or two)"
  rm -rf -- "$dir.partial"
  GOBIN=$dir.partial GOFLAGS='' go install "github.com/nektos/act@$version" >"$state/build.log" 2>&1 || {
    cat -- "$state/build.log" >&2
    die 'could not build act'
  }
  mv -T -- "$dir.partial" "$dir"
}
