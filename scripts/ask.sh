#!/usr/bin/env bash
# Asks the site as a visitor would, and each slot itself, what they answer at this moment. Changes
# nothing.
#
# Values: app, path, ports, active (the port that should serve, or nothing), health_host, log (yes:
#         the active one's last lines, too)
# Prints: answer (right, wrong), said (what came through nginx, for people), nginx (the port that
#         nginx names, or nothing) and for each port N: health_N (right, wrong, or nothing where
#         nothing of ours listens), uptime_N (seconds since the process began, or nothing),
#         restarts_N (since it was started, by systemd's count, or nothing)

main() {
  local answer=right said='' via='' port owner pid start chosen loaded front as way somebody status denied seconds restarts health
  routed
  probe_through || answer=wrong
  result answer "$answer"
  result said "$(printf '%s' "$said" | tr -cd '[:print:]')"
  if [[ $chosen =~ ^http://.*_([0-9]+)$ ]]; then result nginx "${BASH_REMATCH[1]}"; else result nginx ''; fi
  for port in $ports; do
    listener "$port"
    health='' seconds='' restarts=''
    if [[ $owner == ours ]]; then
      health=right
      probe "http://127.0.0.1:$port$health_path" "$health_host" || health=wrong
    fi
    if slot_pid "$port"; then seconds=$(($(age_ms "$start") / 1000)); fi
    if has_systemd; then restarts=$(systemctl show -p NRestarts --value -- "$(unit_of "$port")" </dev/null); fi
    result "health_$port" "$health"
    result "uptime_$port" "$seconds"
    result "restarts_$port" "$restarts"
    if [[ $log == yes && $port == "$active" ]]; then app_log "$port" 0; fi
  done
}

main "$@" </dev/null
