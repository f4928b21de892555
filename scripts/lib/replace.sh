#!/usr/bin/env bash
# One version at a time, at sockets that systemd holds.
#
# Values: app, path, port (with the socket), from (the other port of the pair), back (the release to
#         go back to), drain_timeout and stop_timeout (seconds)

# write_gate: from now on what is started in the slot waits for the gate to go, or passes on what
# comes. That is no rule of the unit's, since only a replacement needs it. A host that starts anew
# in between waits for nothing, and neither does anybody for ever: when this script is killed the
# version starts some time after all should be over.
#
# write_gate [SUFFIX [MORE]]: MORE seconds later
write_gate() {
  write_first
  now_ms
  write "$path/slots/$port.gate${1-}" 0600 \
    "$(</proc/sys/kernel/random/boot_id) $((ms + (drain_timeout + stop_timeout + ${2-0} + 60) * 1000))"$'\n'
}

write_first() {
  local boot proxy
  boot=$(</proc/sys/kernel/random/boot_id)
  for proxy in /usr/lib/systemd/systemd-socket-proxyd /lib/systemd/systemd-socket-proxyd; do
    [[ ! -x $proxy ]] || break
  done
  write "$path/slots/$port.first" 0600 <<SNIPPET
if { read -r boot until <$path/slots/$port.gate; } 2>/dev/null && [[ \$boot == $boot ]]; then
  exec {wait}<> <(:)
  while [[ -e $path/slots/$port.gate ]] && read -r up _ </proc/uptime && ((10#\${up/./} * 10 < until)); do
    read -rt 0.1 -u "\$wait" _ || :
  done
  exec {wait}>&-
fi
if { read -r boot to <$path/slots/$port.relay; } 2>/dev/null && [[ \$boot == $boot ]]; then \
exec $proxy "127.0.0.1:\$to"; fi
SNIPPET
}

# fits: a release knows one way to listen.
fits() {
  [[ -e $path/releases/$release/.deploy-action/complete ]] || die "$EX_START" "release $release is not complete"
  [[ -e $path/releases/$release/.deploy-action/socket ]] \
    || die "$EX_CHECK" "release $release was deployed with strategy \"blue-green\", and its start command takes no \
socket: go back to it with that strategy"
  may_handle_all "$release"
}

open_gate() { rm -f -- "$path/slots/$port.gate"; }

# foresee PORT TO: what retire and pass_on put in place there, while what can't be written leaves the
# old version where it is.
foresee() {
  local port=$1
  write_gate .next
  write_relay "$2" .next
}

write_relay() { write "$path/slots/$port.relay${2-}" 0600 "$(</proc/sys/kernel/random/boot_id) $1"$'\n'; }

# put_foreseen FILE: fails where nothing was.
put_foreseen() { mv -fT -- "$path/slots/$port.$1.next" "$path/slots/$port.$1" 2>/dev/null; }

# hold RELEASE [ENVIRONMENT]: systemd listens, and the release is about to start. Prints what launch
# does.
hold() {
  local owner socket_name
  if ! socket_listens "$port"; then
    listener "$port"
    # A step was cut off between the end of the socket and that of what had it.
    if [[ $owner == ours || $owner == held ]]; then
      unit stop "$port"
      listener "$port"
    fi
    [[ $owner == none ]] || die "$EX_FOREIGN" "port $port has been taken by another process since it was found free \
($(who_has "$port"))"
    socket_of "$port"
    unit_socket start "$port" || die "$EX_START" "systemd could not listen on 127.0.0.1:$port ($socket_name)"
  fi
  unit_socket enable "$port"
  rm -f -- "$path/slots/$port".{relay,relay.next,gate.next}
  write_gate
  launch "$port" "$1" "${2-}"
}

# resume: what served before does so again, and answers whoever waits. Prints started (the port at which
# that was begun) and serves (the same, once it does).
resume() {
  local pid='' start='' starttime='' log_offset='' owner late=$from
  let_end "$from"
  listener "$from"
  if [[ $owner == ours ]]; then
    go_home
  elif [[ -e $path/releases/$back/.deploy-action/socket ]]; then
    if answers; then change_sides; else stay; fi
    result started "$port"
    wait_healthy
    protect "$port"
    result serves "$port"
    pass_on "$late" "$port"
  else
    say "starting $back again, on its own port"
    # Who waits at the socket has systemd start the one that is stopped here again, beside it.
    write_gate '' "$health_timeout" || :
    unit stop "$port"
    port=$from start_again
    go_home
  fi
}

# let_end PORT: waits for a version that a step which was cut off has told to end: it still listens,
# and takes nothing any more.
let_end() {
  local unit_name end
  unit_of "$1"
  now_ms
  end=$((ms + stop_timeout * 1000 + 10000))
  properties "$unit_name" ActiveState
  while [[ ${property[ActiveState]} == deactivating ]] && ! past "$end"; do
    pause 0.1
    properties "$unit_name" ActiveState
  done
}

# answers: does the version at the socket take requests, whatever it makes of them?
answers() {
  local status=000 said pids=()
  members "$port"
  ((${#pids[@]} > 0)) && ! gated "$port" || return 1
  probe "http://127.0.0.1:$port$health_path" "$health_host" || [[ $status != 000 ]]
}

# change_sides: visitors wait at a socket of the other port's until what is in hand here is
# answered. Sets port to that, and late to the one where some may come late.
change_sides() {
  late=$port
  say "starting $back again, once what is in hand is answered"
  port=$from
  hold "$back"
  foresee "$late" "$port"
  move_flag "$late" "$port"
  retire "$late" "$port"
  open_gate
}

# retire PORT INSTEAD: ends a version. Where the time for draining was over before nginx had read
# all, its socket stays for what comes late: the version itself may have it open until it has ended,
# and take nothing any more. Systemd starts the slot's unit again for whoever waits there: at a gate.
retire() {
  local quiet outcome port=$1
  drain "$port" "$2"
  if [[ $quiet == no ]] && socket_listens "$port"; then
    unit disable "$port"
    rm -f -- "$path/slots/$port.relay"
    put_foreseen gate
    unit stop "$port" || {
      outcome=$?
      open_gate
      return "$outcome"
    }
  else
    halt "$port" ''
  fi
}

# stay: who waits here is answered here.
stay() {
  say "starting $back again, at the socket where visitors wait"
  rm -f -- "$path/slots/$port.relay"
  open_gate
  launch "$port" "$back"
  move_flag "$from" "$port"
}

# start_again: of the slot whose port it is.
start_again() {
  launch "$port" "$back"
  result started "$port"
  wait_healthy
}

# go_home: requests go to the other port again, and who waits here is passed on to it.
go_home() {
  move_flag "$port" "$from"
  protect "$from"
  result serves "$from"
  if ! awaited; then halt "$port" "$from"; else pass_on "$port" "$from"; fi
}

# awaited: does anybody wait at the socket here, or has nginx requests in hand for it? Else nothing
# needs to be written, as on a disk that is read-only by now.
awaited() {
  local chosen loaded terms closed front as way somebody hand
  socket_listens "$port" || return 1
  routed
  in_hand "$port"
  [[ $hand != idle ]]
}

# pass_on PORT TO: what waits at a socket whose own version is gone, or is late, is answered by the
# version at the other port. The gate opens last: what has waited there so far would take requests,
# and be ended with them.
pass_on() {
  local port=$1
  socket_listens "$port" || return 0
  put_foreseen relay || { write_first && write_relay "$2"; }
  unit restart "$port"
  open_gate
  ( # what is drained and stopped here is nobody's result
    finish_alone
    results_fd=''
    drain "$port" "$2"
    halt "$port" "$2"
  ) >/dev/null
}
