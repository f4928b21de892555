#!/usr/bin/env bash
# Asks through nginx until the answer provably comes from the new slot, and on through its probation.
#
# Values: app, path, port, pid, starttime, log_offset, health_path, health_status, health_body,
#         verify_host, site (ours, theirs: whose server block answers, for people), nginx_include,
#         settle and watch_for (milliseconds)
# Prints: live (milliseconds since the epoch) as soon as the first such answer was seen; probes;
#         denied (the status with which nginx itself keeps visitors like this host out, or nothing)
# Exits:  EX_NOT_ROUTED (nginx does not send requests to the slot), EX_FLAG, EX_DIED, EX_MEMORY,
#         EX_FOREIGN (the port is somebody else's), EX_UNHEALTHY
#
# `nginx -t` can pass and a reload exit 0 while the old configuration stays; only a request through
# nginx proves anything.

main() {
  local end probes=0 said='' via='' denied='' who elsewhere=''
  now_ms
  end=$((ms + settle))
  while :; do
    ask || [[ $via != "127.0.0.1:$port" ]] || bad
    if [[ $via == "127.0.0.1:$port" ]] && for_all; then break; fi
    if past "$end"; then
      flag_stands
      who=$(who_answers "$elsewhere" "$verify_host")
      [[ -z $elsewhere ]] || die "$EX_NOT_ROUTED" "nginx sends requests for $verify_host to port $port, but another \
site${who:+, $who,} answers to $elsewhere"
      die "$EX_NOT_ROUTED" "nginx does not send requests for $verify_host to port $port: GET $health_path: \
$(reply)${who:+; it is $who that answers}"
    fi
    pause 0.05
  done
  own_port
  epoch_ms
  result live "$ms"
  now_ms
  end=$((ms + watch_for))
  until past "$end"; do
    pause 0.2
    ask || bad
    # The old slot would stand in for a new version that no longer listens. Who answered is told by
    # looks at the host, of which one alone proves nothing.
    [[ $via == "127.0.0.1:$port" ]] || { ask && [[ $via == "127.0.0.1:$port" ]]; } || bad
  done
  own_port
  result probes "$probes"
  result denied "$denied"
}

ask() {
  probes=$((probes + 1))
  must_run
  if through_nginx; then return; fi
  # A wrong answer is one; where none came in time, the host may have stood still.
  if [[ $said == 'answered '* ]]; then return 1; fi
  must_run
  through_nginx
}

# own_port: what has answered was the release: its port is its own, as it was when it was asked
# directly.
own_port() {
  local owner end
  now_ms
  end=$((ms + 1000))
  listener "$port"
  while [[ $owner != ours ]] && ! past "$end"; do
    pause 0.1
    listener "$port"
  done
  [[ $owner == ours ]] \
    || die "$EX_FOREIGN" "what answers on port $port does not belong to this release ($(who_has "$port"))"
}

# for_all: does the switch show wherever visitors come in?
for_all() {
  local chosen loaded terms closed front as way somebody
  routed
  [[ $chosen == http://*_"$port" ]] && routed_for_all
}

# flag_stands: dies when somebody's hand has been at the flags since the switch.
flag_stands() {
  local there
  flags_there
  [[ $there == "$port" ]] \
    || die "$EX_FLAG" "somebody changed the flag after the switch: $flags holds ${there:-nothing} and must hold $port \
alone"
}

bad() {
  [[ $via == "127.0.0.1:$port" ]] || flag_stands
  app_log "$port" "$log_offset"
  die "$EX_UNHEALTHY" "GET $health_path through nginx: $(reply); wanted $(wanted) (probe $probes after the switch)"
}

main "$@" </dev/null
