# shellcheck shell=bash
# Builds the programs that the demo and the tests run beside the action, and what the tests deploy. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

ensure_s3() { ensure_tool github.com/versity/versitygw/cmd/versitygw version e2e/s3/s3.go; }

ensure_act() { ensure_tool github.com/nektos/act actVersion e2e/act_test.go; }

# ensure_tool PACKAGE CONSTANT FILE: the program is kept in the user's cache, a folder a version;
# the constant in the Go file says which, and the tests find it there.
ensure_tool() {
  local name=${1##*/} version dir
  version=$(sed -n "s/^const $2 = \"\(.*\)\"\$/\1/p" "$root/$3")
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/deploy-action/$name@$version
  [[ ! -d $dir ]] || return 0
  rm -rf -- "$dir.partial"
  during "building $name $version (a minute or two)" env GOBIN="$dir.partial" GOFLAGS='' go install "$1@$version"
  mv -T -- "$dir.partial" "$dir"
}

# ensure_demo: what `go run` then finds in Go's cache.
ensure_demo() {
  cd -- "$root" || exit
  during 'building the demo (half a minute the first time)' env CGO_ENABLED=0 go build -o /dev/null ./e2e/demo
}

# ensure_examples: what examples.sh says, which the tests ask for it, too.
ensure_examples() {
  during 'building the examples for Node.js (a minute or two the first time)' "$prepare_dir/examples.sh"
}
