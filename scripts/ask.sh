#!/usr/bin/env bash
# Asks the site as a visitor would, and each slot itself, what they answer at this moment. Changes
# nothing.
#
# Values: app, path, ports, active (the port that should serve, or nothing), health_host, log (yes:
#         the active one's last lines, too), list (yes: workers and jobs, too)
# Prints: answer (right, wrong), said (what came through nginx, for people), nginx (the port that
#         nginx names, or nothing) and for each port N: health_N (right, wrong, or nothing where
#         nothing of ours listens), uptime_N (seconds since the process began, or nothing),
#         restarts_N (since it was started, by systemd's count, or nothing); worker_N for each
#         worker: its port, its name, its state (as systemd has it), for how long it has run
#         (seconds), how often it was started again, its memory (MB); job_N for each job, between
#         bars: its name, its state, result and status, when it last began and when it will next

main() {
  local n=0 answer=right said='' via='' port owner pid start chosen loaded terms closed front as way somebody
  local status denied seconds restarts health age unit_name
  if [[ -n $balancer ]]; then
    ask_as_balancer
    return
  fi
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
    if slot_pid "$port"; then
      age_ms "$start"
      seconds=$((age / 1000))
    fi
    if has_systemd; then
      unit_of "$port"
      properties "$unit_name" NRestarts
      restarts=${property[NRestarts]}
    fi
    result "health_$port" "$health"
    result "uptime_$port" "$seconds"
    result "restarts_$port" "$restarts"
    if [[ $log == yes && $port == "$active" ]]; then app_log "$port" 0; fi
    if [[ $list == yes ]]; then list_workers "$port"; fi
  done
  if [[ $list == yes ]]; then list_jobs; fi
}

# ask_as_balancer: as a load balancer does, which says an address for a name and nothing else.
ask_as_balancer() {
  local scheme address port seconds path key=got as out
  read -r scheme address port seconds path <<<"$balancer"
  for as in "$address" "$verify_host"; do
    heard 8192 curl -q -gsSik --stderr - --noproxy '*' --max-time "$seconds" -H "Host: $as" -H Accept: -H User-Agent: \
      -- "$scheme://$address:$port$path" || :
    out=${out%%$'\n'*}
    result "$key" "${out//[^[:print:]]/}"
    key=named
  done
}

list_jobs() {
  local jobs=() job n=0
  each_job 'ActiveState Result ExecMainStatus' note_job
  for job in "${jobs[@]}"; do
    properties "$app.job.${job%%|*}.timer" LastTriggerUSec NextElapseUSecRealtime
    result "job_$n" "${job%%.*}|${job#*|}|${property[LastTriggerUSec]}|${property[NextElapseUSecRealtime]}"
    n=$((n + 1))
  done
}

note_job() { jobs+=("$one|${property[ActiveState]}|${property[Result]}|${property[ExecMainStatus]}"); }

list_workers() {
  local of workers name pid start seconds mb
  workers_in "$1" || return 0
  for name in $workers; do
    seconds=0
    if slot_pid "$1-$name"; then
      age_ms "$start"
      seconds=$((age / 1000))
    fi
    resident_mb "$1-$name"
    unit_of "$1-$name"
    properties "$unit_name" SubState NRestarts
    result "worker_$n" "$1 $name ${property[SubState]} $seconds ${property[NRestarts]} $mb"
    n=$((n + 1))
  done
}

main "$@" </dev/null
