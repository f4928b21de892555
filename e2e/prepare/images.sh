# shellcheck shell=bash
# Builds the images that are missing or out of date. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

action_image=deploy-action:dev
base= # what the action's image is built from

# label IMAGE KEY: prints the label of an image; nothing when there is neither.
label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || true; }

# The base of the action's image. Where no image registry is in reach, a stand-in is made from this
# machine's Go, with what a build needs besides: a shell, CA certificates, /tmp. It has the base's
# name without the digest, which only a registry can give.
ensure_golang() {
  local image go made
  base=$(sed -n 's/^FROM .*\(golang:[^ ]*\).*/\1/p' "$root/Dockerfile")
  docker image inspect "$base" >/dev/null 2>&1 && return
  image=${base%@*}
  go=$(go env GOVERSION)
  made=$(label "$image" deploy-action.stand-in)
  if [[ -z $made ]]; then
    say "pulling $base (300 MB) ..."
    timeout 600 docker pull --quiet "$base" >/dev/null 2>&1 && return
    say "$base cannot be pulled, so this machine's Go stands in"
  fi
  base=$image
  [[ $made != "$go" ]] || return 0
  during "making $image from this machine's $go (a few seconds)" stand_in "$image" "$go"
}

stand_in() {
  local goroot tree applet
  goroot=$(readlink -f -- "$(go env GOROOT)")
  tree=$(mktemp -d)
  # shellcheck disable=SC2064 # the name of now, not of then
  trap "rm -rf -- '$tree'" EXIT
  mkdir -p "$tree"/{bin,etc/ssl/certs,root,go}
  mkdir -m 1777 "$tree/tmp"
  cp -L "$(command -v busybox)" "$tree/bin/busybox"
  "$tree/bin/busybox" --list | while read -r applet; do
    [[ $applet == busybox ]] || ln -s busybox "$tree/bin/$applet"
  done
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$tree/etc/ssl/certs/ca-certificates.crt"
  # Go goes from its folder into the image, without a copy between.
  tar --owner=0 --group=0 --exclude="${goroot##*/}"/{test,api,doc,misc} --exclude='*_test.go' --exclude=testdata \
    --transform="flags=rS;s,^${goroot##*/}\(/\|\$\),usr/local/go\1," -c -C "$tree" . -C "${goroot%/*}" "${goroot##*/}" \
    | docker import --change 'ENV PATH=/go/bin:/usr/local/go/bin:/bin' \
      --change 'ENV GOPATH=/go' --change 'ENV GOTOOLCHAIN=local' \
      --change "ENV GOPROXY=$(go env GOPROXY)" --change "ENV GOSUMDB=$(go env GOSUMDB)" \
      --change "LABEL deploy-action.stand-in=$2" - "$1"
}

# ensure_hosts RELEASE: the image of its hosts, and where they are needed those of hosts with more
# (e2e/host/with).
ensure_hosts() {
  local list
  ensure_host "$1"
  if needed with; then
    for list in "$root/e2e/host/with/$1"-*; do
      [[ ! -e $list ]] || ensure_host "$1" "${list##*/"$1"-}"
    done
  fi
}

# ensure_host RELEASE [LIST]: a recipe that changes gives the image another name, see image.sh.
ensure_host() {
  local image
  image=$("$root/e2e/host/image.sh" "$@")
  docker image inspect "$image" >/dev/null 2>&1 && return
  during "building the host of Debian $1${2:+ with $2} (half a minute)" unprivileged "$root/e2e/host/build.sh" "$@"
}

# unprivileged COMMAND...: a tree with files of many users can be made by anybody whom the kernel
# lets map further users, as mmdebstrap then does; by root elsewhere.
unprivileged() {
  if unshare --map-root-user --map-auto true 2>/dev/null; then "$@"; else as_root "$@"; fi
}

# The action itself; the engine's own layer cache tells what is out of date. Other checkouts use the
# same name.
ensure_action() {
  ensure_golang
  [[ -z ${ACTION_IMAGE-} ]] || return 0 # another image is tried
  during "building the action's image (a minute the first time)" build_action
}

# docker first removes the file that it is to write the id to: it must be a file of ours, or none.
# The label says what was built, for docs/proof: the commit, with + where files differ from its own,
# those tables aside, which are written while they come to be.
build_action() {
  local build
  build=$(git -C "$root" describe --always --exclude '*') || build=unknown
  git -C "$root" diff --quiet HEAD -- . ':!docs/proof' || build+=+
  sed "s|^\(FROM .*\)golang:[^ ]*|\1$base|" "$root/Dockerfile" \
    | docker build --quiet --force-rm ${ACTION_IMAGE_FILE:+--iidfile "$ACTION_IMAGE_FILE"} --tag "$action_image" \
      --label "org.opencontainers.image.revision=$build" --file - "$root"
}
