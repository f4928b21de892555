#!/usr/bin/env bash
# The version on trial, after the switch.
#
# Values: app, path, port, pid, starttime, log_offset

# must_run: ends the script when it is gone.
must_run() {
  if runs "$pid" "$starttime"; then return; fi
  app_log "$port" "$log_offset"
  out_of_memory
  die "$EX_DIED" "the application (pid $pid) exited after the switch"
}
