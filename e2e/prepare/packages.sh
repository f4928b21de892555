# shellcheck shell=bash
# Installs the Debian or Ubuntu packages that are missing. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

# need COMMAND PACKAGE...: the packages are missing when the command is.
need() {
  # Debian keeps /usr/sbin off the path of people who are not root.
  PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || missing+=("${@:2}")
}

install_packages() {
  local missing=()
  command -v go >/dev/null || die 'Go is missing; go.mod says which version. Install it from your vendor or go.dev.'
  need git git
  need mmdebstrap mmdebstrap
  if ((EUID != 0)); then need newuidmap uidmap; fi
  need busybox busybox-static
  need ssh-keygen openssh-client
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
  if ! engine_answers; then
    need docker docker.io
    need dockerd docker.io
  fi
  if needed sshd; then # what tests without hosts run
    need sshd openssh-server
    need curl curl
  fi
  if needed race; then need gcc gcc libc6-dev; fi
  if needed wrk; then need wrk wrk; fi
  if needed examples; then need npm npm; fi
  install_missing
}

# install_missing: what need has found missing.
install_missing() {
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing, and no apt-get to install it with: ${missing[*]}"
  apt_install "${missing[@]}"
}

# apt_install PACKAGE...: installs without starting services, since a test needs sshd's binary and
# not a server, and an engine that is started here must be stopped here. Waits for apt's lock; tries
# again when a mirror hiccups. A shell of its own, so that its trap takes the ban on services back
# whatever happens.
apt_install() (
  began=$SECONDS
  say "installing $* (half a minute) ..."
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'as_root rm -f -- "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | as_root install -m 0755 /dev/stdin "$policy"
  fi
  for try in 1 2 3; do
    # A list that could not be fetched may be of no matter to what is installed.
    if { apt update || true; } && apt install --yes --no-install-recommends "$@"; then
      # Nor is a server to come up at the machine's next boot.
      if [[ " $* " == *' openssh-server '* && -d /run/systemd/system ]]; then
        as_root systemctl --quiet disable ssh.service ssh.socket
      fi
      say "installing: done in $((SECONDS - began)) s"
      exit 0
    fi
    say "apt-get failed (try $try of 3)"
  done
  tail -n 20 -- "$state/apt.log" >&2
  die "could not install $*"
)

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null 2>&1 | log_apt
}

# log_apt: what is waited for longest is another apt.
log_apt() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$state/apt.log"
    [[ $line != *'Waiting for cache lock'* ]] || say "${line//[[:cntrl:]]/}"
  done
}
