#!/usr/bin/env bash
# Stops a slot: SIGTERM, then SIGKILL after stop_timeout. Only what is proved ours: the unit, the
# session of the pid file's process, or what adopt.sh has found proved to be the old version. What
# still runs beside it ends with it.
#
# Values: app, path, lock_token, port, stop_timeout (seconds), instead (the port that serves in its
#         place, or nothing)
# Prints: stopped (yes, already), stop_ms
# Exits:  EX_FLAG when it is, or may be, the active slot, EX_STOP when something of it still runs

main() {
  own_lock
  halt "$port" "$instead"
  end_workers "$port"
}

main "$@" </dev/null
