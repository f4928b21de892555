# shellcheck shell=bash
# Builds the images that are missing or out of date. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

action_image=deploy-action:dev
scratch=

# label IMAGE KEY: prints the label of an image; nothing when there is neither.
label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || true; }

# The base of the action's image. Where no image registry is in reach, a stand-in is made from this machine's Go, with
# what a build needs besides: a shell, CA certificates, /tmp.
ensure_golang() {
  local image go made
  image=$(sed -n 's/^FROM .*\(golang:[^ ]*\).*/\1/p' "$root/Dockerfile")
  go=$(go env GOVERSION)
  made=$(label "$image" deploy-action.stand-in)
  [[ $made != "$go" ]] || return 0
  if [[ -z $made ]]; then
    docker image inspect "$image" >/dev/null 2>&1 && return
    say "pulling $image"
    timeout 600 docker pull --quiet "$image" >/dev/null 2>&1 && return
  fi
  say "$image cannot be pulled: making a stand-in from this machine's $go"
  stand_in "$image" "$go"
}

stand_in() {
  local tree applet
  scratch=$(mktemp -d)
  tree=$scratch
  mkdir -p "$tree"/{bin,etc/ssl/certs,root,go,usr/local/go}
  mkdir -m 1777 "$tree/tmp"
  cp -L "$(command -v busybox)" "$tree/bin/busybox"
  "$tree/bin/busybox" --list | while read -r applet; do
    [[ $applet == busybox ]] || ln -s busybox "$tree/bin/$applet"
  done
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$tree/etc/ssl/certs/ca-certificates.crt"
  tar -C "$(go env GOROOT)" --exclude=./test --exclude=./api --exclude=./doc --exclude=./misc -c . \
    | tar -C "$tree/usr/local/go" --no-same-owner -x
  tar -C "$tree" --owner=0 --group=0 -c . | docker import \
    --change 'ENV PATH=/go/bin:/usr/local/go/bin:/bin' --change 'ENV GOPATH=/go' --change 'ENV GOTOOLCHAIN=local' \
    --change "ENV GOPROXY=$(go env GOPROXY)" --change "ENV GOSUMDB=$(go env GOSUMDB)" \
    --change "LABEL deploy-action.stand-in=$2" - "$1" >/dev/null
  rm -rf -- "$scratch"
}

# ensure_host RELEASE [LIST]: the image of a test host. A recipe that changes gives it another name.
ensure_host() {
  local image
  image=$("$root/e2e/host/image.sh" "$@")
  docker image inspect "$image" >/dev/null 2>&1 && return
  say "building $image (about a minute)"
  as_root "$root/e2e/host/build.sh" "$@" || die "could not build $image"
}

# ensure_hosts_with: the images of hosts that have more than others.
ensure_hosts_with() {
  local list
  for list in "$root"/e2e/host/with/*; do
    list=${list##*/}
    ensure_host "${list%%-*}" "${list#*-}"
  done
}

# The action itself; the engine's own layer cache tells what is out of date.
ensure_action() {
  say "building $action_image"
  docker build --quiet --force-rm --tag "$action_image" "$root" >"$state/build.log" 2>&1 || {
    cat -- "$state/build.log" >&2
    die "could not build $action_image"
  }
}
