#!/usr/bin/env bash
# What the host's distribution provides.
#
# Values: setup, packages, needs

# package_of COMMAND: the Debian packages that bring it.
package_of() {
  case $1 in
    python3) printf 'python3 python3-venv' ;;
    flock) printf 'util-linux' ;;
    pgrep) printf 'procps' ;;
    awk) printf 'mawk' ;;
    xargs) printf 'findutils' ;;
    sync | timeout | sha256sum) printf 'coreutils' ;;
    cmp | diff) printf 'diffutils' ;;
    *) printf '%s' "$1" ;;
  esac
}

# installed PACKAGE: does dpkg know it as installed?
installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' -- "$1" 2>/dev/null </dev/null) == installed ]]; }

# lacking: the packages that are wanted and not there.
lacking() {
  local cmd name
  for cmd in $needs; do
    have "$cmd" || package_of "$cmd"
    printf '\n'
  done
  # The venv module is a package of the interpreter's own version: python3.12-venv on Ubuntu 24.04.
  if [[ " $needs " == *" python3 "* ]] && have python3 && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    python3 -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
  fi
  for name in $packages; do
    installed "$name" || printf '%s\n' "$name"
  done
}

# install_missing: installs what lacks, where that is wanted and there is apt; prints what it has installed. What it can't mend is found by
# the checks that follow.
install_missing() {
  local wanted try
  [[ $setup != never ]] && have apt-get && as_root true 2>/dev/null </dev/null || return 0
  read -ra wanted -d '' < <(lacking) || :
  ((${#wanted[@]} > 0)) || return 0
  say "installing ${wanted[*]}"
  for try in 1 2 3; do
    # A lock that somebody holds is waited for.
    if apt apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update \
      && apt apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 install --yes --no-install-recommends -- "${wanted[@]}"; then
      break
    fi
    say "apt did not get through (try $try of 3)"
    # An installation that was cut off has to be finished first.
    apt dpkg --configure -a || pause "$((try * 2))"
  done
  if have nginx && ! pgrep -x nginx >/dev/null; then
    if has_systemd; then as_root systemctl enable --now --quiet nginx </dev/null >&2 || :; else as_root nginx </dev/null >&2 || :; fi
  fi
  printf '%s' "${wanted[*]}"
}

# apt COMMAND...: no questions, no pager, no service restarted behind our back but those that are installed.
apt() { as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 "$@" </dev/null >&2; }
