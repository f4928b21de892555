#!/usr/bin/env bash
# Asks the new process itself, on its own port, until it answers right; its death ends the wait at
# once.
#
# Values: app, path, port, pid, starttime, log_offset, health_path, health_status, health_body,
#         health_host, health_timeout (seconds), started (the step of this run whose results name
#         the process, or nothing: the values do)
# Prints: boot_ms (start of the process to its first right answer), tries, open (yes: the port is so
#         to others, past nginx)
# Exits:  EX_DIED, EX_MEMORY (the kernel ended it), EX_FOREIGN, EX_SILENT (never listened),
#         EX_UNHEALTHY (listened, never answered right)

main() {
  if [[ -n $started ]]; then as_started; fi
  wait_healthy
}

# as_started: sets pid, starttime and log_offset to what the step before has found out. On a full
# disk its results may not have been kept.
as_started() {
  local key value start line begin kept
  results_of "$started"
  pid='' starttime='' log_offset=''
  if [[ -r $kept ]]; then
    while IFS='=' read -r key value; do
      case $key in
        pid) pid=$value ;;
        starttime) starttime=$value ;;
        log_offset) log_offset=$value ;;
        group) group_of["$port"]=$value ;;
      esac
    done <"$kept"
  fi
  if [[ -n $starttime ]]; then return; fi
  line=$(grep -ab '^=== .* start of ' "$path/logs/$port.log" | tail -n 1) || line=''
  begin=${line%%:*}
  log_offset=$((begin + ${#line} - ${#begin}))
  if slot_pid "$port"; then starttime=$start; else starttime=0; fi # wait_healthy says how it has ended
}

main "$@" </dev/null
