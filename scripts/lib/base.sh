#!/usr/bin/env bash
# What every verb shares. Sent in front of the verb's own text; never run alone.
#
# The values a verb names in its header stand above this text as shell variables, and so do the exit codes (EX_*),
# both written by Go. Standard output carries key=value results, standard error words for people.
#
# Values: app, lock_token, path
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

# now_ms: milliseconds since the boot, without a process. A clock that jumps must not end a wait, or make it last.
now_ms() {
  local up
  read -r up _ </proc/uptime
  printf '%s' "$((10#${up/./} * 10))"
}

# epoch_ms: milliseconds since the epoch, for people and for the runner.
epoch_ms() {
  local t=${EPOCHREALTIME/[.,]/}
  printf '%s' "${t%???}"
}

# pause SECONDS: the interval of a poll, without a process. Only loops that test a condition may call it.
exec {pause_fd}<> <(:)
pause() { read -rt "$1" -u "$pause_fd" _ || :; }

# own_lock: refuses to touch anything when the deploy lock is no longer this run's, and ends what a cut-off step left running, so that no
# step works beside another. Each step leads a session of its own, as sshd starts it, holds the step lock, and leaves its name while it works;
# who holds the deploy lock may end it, since the run that started it is gone or has given it up.
own_lock() {
  local leader='' start=''
  holds_lock
  if [[ -r $path/.lock.leader ]]; then read -r leader start <"$path/.lock.leader" || :; fi
  # A leader that died alone leaves its session behind, whose number is not given out again before it is empty.
  if [[ -n $leader && -n $(session "$leader") ]] && { runs "$leader" "$start" || [[ ! -e /proc/$leader ]]; }; then
    say "a step that was cut off is still at work on this host (pid ${leader}); ending it"
    end_session "$leader"
  fi
  exec {step_fd}>>"$path/.lock.step"
  flock -w 10 "$step_fd" || die "$EX_STEP_BUSY" "a step that was cut off still runs on this host: pid ${leader:-unknown}"
  holds_lock
  printf '%s %s\n' "$$" "$(starttime "$$")" >"$path/.lock.leader"
  trap 'rm -f -- "$path/.lock.leader"' EXIT
}

end_session() {
  local end
  end=$(($(now_ms) + 5000))
  session "$1" | xargs -r kill -TERM -- 2>/dev/null || :
  while [[ -n $(session "$1") ]] && (($(now_ms) < end)); do pause 0.1; done
  session "$1" | xargs -r kill -KILL -- 2>/dev/null || :
}

holds_lock() {
  local holder=''
  [[ -r $path/.lock.holder ]] && read -r holder <"$path/.lock.holder"
  [[ -n $holder ]] || die "$EX_LOCK_LOST" "the deploy lock was lost: this host heard nothing from the run for too long"
  [[ $holder == "$lock_token" ]] || die "$EX_LOCK_LOST" "the deploy lock was lost: another run holds it now ($holder)"
}
