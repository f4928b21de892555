#!/usr/bin/env bash
# Takes the deploy lock and holds it for as long as this session lives.
#
# Values: app, path, lock_token, lock_note (who, for people), lock_timeout and beat (seconds)
# Prints: locked=yes once it is ours, waited (milliseconds)
# Exits:  EX_LOCK_BUSY when lock_timeout is over, EX_CHECK when the deploy root can't be made or is somebody else's folder
#
# It is a flock(2): the kernel frees it with the process, so it can't go stale. A heartbeat, one line, comes on standard input; end of
# file (the connection closed) or silence for `beat` seconds (it vanished without a word) ends the process and with it the lock.

main() {
  local begin left note
  begin=$(now_ms)
  fit_root
  if [[ ! -d $path ]]; then
    mkdir -p -- "$path" 2>/dev/null || as_root install -d -o "$(id -un)" -g "$(id -gn)" -- "$path" \
      || die "$EX_CHECK" "can't create the deploy root $path"
  fi
  [[ -w $path ]] || die "$EX_CHECK" "the deploy root $path is not writable for $(id -un)"
  exec {lock_fd}>>"$path/.lock"
  if ! flock -n "$lock_fd"; then
    note=$(tail -n +2 "$path/.lock.holder" 2>/dev/null | head -n 1 || :)
    say "the deploy lock is held by ${note:-another run}; waiting up to ${lock_timeout}s"
    left=$((lock_timeout - ($(now_ms) - begin) / 1000))
    flock -w "$left" "$lock_fd" || die "$EX_LOCK_BUSY" "the deploy lock is still held by ${note:-another run}"
  fi
  printf '%s\n%s\n' "$lock_token" "$lock_note, since $(date -u +%FT%TZ)" | write "$path/.lock.holder" 0644
  result waited "$(($(now_ms) - begin))"
  result locked yes
  while IFS= read -r -t "$beat" _; do :; done
  rm -f -- "$path/.lock.holder"
}

main "$@"
