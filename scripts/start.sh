#!/usr/bin/env bash
# Starts a release on the idle slot.
#
# Values: app, path, lock_token, port, release, active (the port that serves, or nothing on first
#         use), environment (another one for a release that has one, or nothing)
# Prints: pid and starttime (they name the process), log_offset (where its lines begin in the slot's
#         log, bytes), group (of its unit, as group_of has it, or nothing)
# Exits:  EX_FOREIGN when something that is not ours has the port, EX_START when the process can't
#         be started at all, EX_CHECK when the release wants a socket

main() {
  local owner pid start starttime log_offset
  own_lock
  [[ -e $path/releases/$release/.deploy-action/complete ]] || die "$EX_START" "release $release is not complete"
  [[ ! -e $path/releases/$release/.deploy-action/socket ]] \
    || die "$EX_CHECK" "release $release was deployed with strategy \"in-place\", and its start command takes a \
socket: go back to it with that strategy"
  may_handle_all "$release"
  listener "$port" polled # port.sh has looked twice
  # Ours it is when this step was cut off after its work: then it starts anew.
  if [[ $owner != none ]] && ! { [[ $owner == ours ]] && has_systemd; }; then
    die "$EX_FOREIGN" "port $port has been taken by another process since it was found free ($(who_has "$port"))"
  fi
  # Without a flag nginx follows the include's fall-back, which may name this very port: a flag that
  # was lost is there again first.
  if [[ -n $active && ! -e $flags/$active ]]; then
    say "the flag of port $active was gone; it is back"
    put_flag "$active"
  fi
  if [[ -n $active ]]; then protect "$active"; fi # a run that died left it on trial
  launch "$port" "$release" "$environment"
}

main "$@" </dev/null
