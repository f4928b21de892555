#!/usr/bin/env bash
# Stops a slot: SIGTERM, then SIGKILL after stop_timeout. Only what is proved ours: the unit, or the session of the pid file's process.
#
# Values: app, path, lock_token, port, stop_timeout (seconds)
# Prints: stopped (yes, already), stop_ms
# Exits:  EX_STOP when something of it still runs

main() {
  local begin end pid start
  own_lock
  begin=$(now_ms)
  if [[ -e $flags/$port ]]; then die "$EX_STOP" "port $port is the active slot; it is not stopped"; fi
  if has_systemd; then
    if [[ -z $(members "$port") ]]; then result stopped already; else result stopped yes; fi
    unit disable "$port"
    unit stop "$port"
    unit reset-failed "$port" 2>/dev/null || :
  elif slot_pid "$port"; then
    result stopped yes
    end=$((begin + stop_timeout * 1000))
    # To each member, not to the group: an application may have put its workers in groups of their own.
    members "$port" | xargs -r kill -TERM -- 2>/dev/null || :
    while members "$port" | grep -q . && (($(now_ms) < end)); do pause 0.1; done
    members "$port" | xargs -r kill -KILL -- 2>/dev/null || :
    rm -f -- "$path/slots/$port.pid" "$path/slots/$port.exit"
  else
    result stopped already
  fi
  [[ -z $(members "$port") ]] || die "$EX_STOP" "slot $port still runs: pid $(members "$port" | tr '\n' ' ')"
  result stop_ms "$(($(now_ms) - begin))"
}

main "$@" </dev/null
