#!/usr/bin/env bash
# Getting the deploy lock.
#
# Values: path, resume, lock_timeout (seconds), begin (milliseconds: since when it is waited for)

# take_lock: a lock is a run's if a process of this user holds it. A version of before had let
# others read the file, and somebody may have it open since: what they hold is nobody's lock, and a
# new file takes its place.
take_lock() {
  local note told=no end
  end=$((begin + lock_timeout * 1000))
  while :; do
    umask 077
    { exec {lock_fd}>>"$path/.lock"; } 2>/dev/null || { # who had it may have removed the application
      umask 022
      make_path
      umask 077
      exec {lock_fd}>>"$path/.lock"
    }
    umask 022
    if [[ -O $path/.lock ]]; then chmod 0600 -- "$path/.lock"; fi
    if flock -n "$lock_fd" || { ((lock_timeout > 0)) && tell && flock -w 1 "$lock_fd"; }; then
      if is_lock "/proc/$$/fd/$lock_fd"; then return; fi
    elif ! is_held && is_lock "/proc/$$/fd/$lock_fd"; then
      say "the deploy lock is held by another user's process, which can be no run: it is made anew"
      rm -f -- "$path/.lock"
    elif past "$end"; then
      holder
      [[ $resume == no ]] || die "$EX_LOCK_LOST" "the deploy lock went to ${note:-another run} while the connection \
was lost"
      die "$EX_LOCK_BUSY" "the deploy lock is still held by ${note:-another run}"
    fi
    exec {lock_fd}>&-
  done
}

# holder: sets note to who has it, for people.
holder() {
  note=''
  { read -r _ && IFS= read -r note || :; } 2>/dev/null <"$path/.lock.holder" || :
}

# tell: says so, once.
tell() {
  holder
  if [[ $told == no ]]; then say "the deploy lock is held by ${note:-another run}; waiting up to ${lock_timeout}s"; fi
  told=yes
}

# is_lock FILE: is it still the one that counts?
is_lock() { [[ $1 -ef $path/.lock ]]; }

# is_held: does a process of this user hold the lock? The kernel shows that at the open file
# (proc(5), fdinfo), not at who waits.
is_held() {
  local fd
  for fd in /proc/[0-9]*/fd/[0-9]*; do
    if [[ -O ${fd%/fd/*} ]] && is_lock "$fd" && grep -qs '^lock:' "${fd/\/fd\//\/fdinfo\/}"; then return; fi
  done
  return 1
}
