#!/usr/bin/env bash
# What every verb shares. Sent in front of the verb's own text; never run alone.
#
# The values a verb names in its header stand above this text as shell variables, and so do the exit codes (EX_*),
# both written by Go. Standard output carries key=value results, standard error words for people.
#
# Values: app, lock_token, step_wait (seconds), path
set -euo pipefail
export LC_ALL=C
umask 022
PATH=$PATH:/usr/sbin:/sbin # a login user's PATH has no sbin on Debian

say() { printf '%s\n' "$*" >&2; }

# result KEY VALUE: one fact for Go. A value is one line; anything else is a bug here, so it ends the script.
result() {
  case $2 in *$'\n'* | *$'\r'*) die 70 "result $1 holds a line break" ;; esac
  printf '%s=%s\n' "$1" "$2"
}

# die CODE WORDS: the last words, and the exit code Go decides by.
die() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

((BASH_VERSINFO[0] >= 5)) || die "$EX_CHECK" "bash $BASH_VERSION is too old; version 5 is needed"

as_root() { if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi; }

have() { command -v "$1" >/dev/null 2>&1; }

has_systemd() { [[ -d /run/systemd/system ]]; }

unit_of() { printf '%s@%s.service' "$app" "$1"; }

flags=/var/lib/deploy-action/$app/active

# now_ms: milliseconds since the epoch, without a process.
now_ms() {
  local t=${EPOCHREALTIME/[.,]/}
  printf '%s' "${t%???}"
}

# pause SECONDS: the interval of a poll, without a process. Only loops that test a condition may call it.
exec {pause_fd}<> <(:)
pause() { read -rt "$1" -u "$pause_fd" _ || :; }

# own_lock: refuses to touch anything when the deploy lock is no longer this run's, and keeps a step of a dead run from working beside this
# one: the step lock is inherited by every child, so it is free only when the last of them is gone.
own_lock() {
  local holder=''
  [[ -r $path/.lock.holder ]] && read -r holder <"$path/.lock.holder"
  [[ $holder == "$lock_token" ]] || die "$EX_LOCK_LOST" "the deploy lock is held by another run now: ${holder:-nobody}"
  exec {step_fd}>>"$path/.lock.step"
  flock -n "$step_fd" && return
  say "a step of an earlier run is still at work on this host; waiting for it"
  flock -w "$step_wait" "$step_fd" || die "$EX_STEP_BUSY" "a step of an earlier run still runs on this host after ${step_wait}s"
}
