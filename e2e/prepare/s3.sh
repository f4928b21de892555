# shellcheck shell=bash
# Builds the S3 server of the tests. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

# It is kept in the user's cache, a folder a version; e2e/lab/s3.go says which, and finds it there.
ensure_s3() {
  local version dir
  version=$(sed -n 's/^const s3Version = "\(.*\)"$/\1/p' "$root/e2e/lab/s3.go")
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/deploy-action/versitygw@$version
  [[ ! -d $dir ]] || return 0
  say "building versitygw $version, the tests' S3 server (a minute or two)"
  rm -rf -- "$dir.partial"
  GOBIN=$dir.partial GOFLAGS='' go install "github.com/versity/versitygw/cmd/versitygw@$version" >"$state/build.log" 2>&1 || {
    cat -- "$state/build.log" >&2
    die 'could not build versitygw'
  }
  mv -T -- "$dir.partial" "$dir"
}
