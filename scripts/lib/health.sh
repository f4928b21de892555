#!/usr/bin/env bash
# Asks a new process itself, on its own port, until it answers right; its death ends the wait at
# once.
#
# Values: app, path, port, pid, starttime, log_offset, health_path, health_status, health_body,
#         health_host, health_timeout (seconds)

# wait_healthy: asks the process until it answers right; prints the results boot_ms, tries and open
# (see health.sh). Ends the script when it does not.
wait_healthy() {
  local begin end tries=0 owner=none said='' age
  now_ms
  begin=$ms
  end=$((begin + health_timeout * 1000))
  while :; do
    runs "$pid" "$starttime" || died
    if [[ $owner != ours ]]; then look; fi
    if [[ $owner == ours ]]; then
      tries=$((tries + 1))
      # Who has answered is known once the port is still the application's.
      if asked "http://127.0.0.1:$port$health_path" "$health_host" && look && [[ $owner == ours ]]; then break; fi
    fi
    if past "$end"; then timed_out; fi
    pace "$begin"
  done
  runs "$pid" "$starttime" || died
  age_ms "$starttime"
  result boot_ms "$age"
  result tries "$tries"
  if open_to_others "$port"; then result open yes; else result open no; fi
}

# asked URL HOST: probe, which the death of the process ends: at a socket of systemd's the question
# waits for the next one.
asked() {
  local answer code='' part=''
  exec {answer}< <(
    code=0
    probe "$@" || code=$?
    printf '%s %s\n%s' "$code" "${only_curl-no}" "$said"
  )
  until read -rt 0.1 -u "$answer" part; do
    (($? > 128)) || break # more than 128: it takes longer, or the machine's clock was set
    code+=$part
    runs "$pid" "$starttime" || died
  done
  code+=$part
  IFS= read -rd '' -u "$answer" said || :
  exec {answer}<&-
  read -r code only_curl <<<"$code"
  return "${code:-1}" # one that was ended has said nothing
}

# look: sets owner; nobody else may have the port.
look() {
  listener "$port" polled
  if [[ $owner == foreign ]]; then
    runs "$pid" "$starttime" || died
    box_hint "$port"
    die "$EX_FOREIGN" "port $port is held by a process that does not belong to this release ($(who_has "$port"))"
  fi
}

died() {
  local how=unknown unit_name
  if has_systemd; then
    unit_of "$port"
    await_end "$unit_name"
    case ${property[ExecMainCode]} in # of waitid(2): exited; killed, dumped
      1) how="status ${property[ExecMainStatus]}" ;;
      [23]) how="signal ${property[ExecMainStatus]}" ;;
      *) how='a status that nobody knows any more,' ;;
    esac
  elif [[ -r $path/slots/$port.exit ]]; then
    how="status $(<"$path/slots/$port.exit")"
  fi
  app_log "$port" "$log_offset"
  out_of_memory
  hints "$how"
  leaves_socket dead
  die "$EX_DIED" "the application exited with $how before it was healthy"
}

timed_out() {
  app_log "$port" "$log_offset"
  out_of_memory
  if ((tries == 0)); then
    elsewhere
    die "$EX_SILENT" "the application runs (pid $pid) but did not listen on port $port within ${health_timeout}s; it \
must listen on \$PORT"
  fi
  leaves_socket alive
  if only_ipv6 "$port"; then say "it listens on ::1 alone, and nginx asks 127.0.0.1: have the input start name that \
address"; fi
  die "$EX_UNHEALTHY" "GET $health_path on port $port: $said; wanted $(wanted) ($tries tries in ${health_timeout}s)"
}

# elsewhere: says on which other ports the application listens.
elsewhere() {
  local ports
  ports=$(ports_of "$port" | sort -nu)
  if [[ -n $ports ]]; then say "it listens on ${ports//$'\n'/ and } instead"; fi
}
