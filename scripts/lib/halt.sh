#!/usr/bin/env bash
# Stops a slot: SIGTERM, then SIGKILL after stop_timeout. Only what is proved ours: the unit, the
# session of the pid file's process, or what adopt.sh has found proved to be the old version.
#
# Values: app, path, stop_timeout (seconds)

# halt PORT INSTEAD: prints the results stopped and stop_ms. INSTEAD is the port that serves in its
# place, or nothing.
halt() {
  local port=$1 instead=$2 begin end owner pids=()
  now_ms
  begin=$ms
  spare_active
  if [[ -n $instead ]]; then served_instead; fi
  stand_down "$port"
  members "$port"
  if ((${#pids[@]} > 0)); then result stopped yes; else result stopped already; fi
  now_ms
  end=$((ms + stop_timeout * 1000))
  spare_active
  if [[ -e $path/slots/$port.adopted ]]; then stop_adopted; fi
  if has_systemd; then
    close_socket "$port"
    unit disable "$port"
    spare_active enable
    unit stop "$port"
    unit reset-failed "$port" 2>/dev/null || :
    end_boxes "$port" || die "$EX_STOP" "a container of slot $port could not be ended: \
$(boxes "$port" | cut -d' ' -f 1,2)"
  else
    # To each member, not to the group: an application may have put its workers in groups of their
    # own.
    signal_all TERM
    while members "$port" && ((${#pids[@]} > 0)) && ! past "$end"; do pause 0.1; done
    signal_all KILL
    rm -f -- "$path/slots/$port.pid" "$path/slots/$port.exit" || : # on a read-only disk
  fi
  if [[ $undo == no ]]; then settle_environment "$port" || :; fi # on a read-only disk
  gone "$path/slots/$port".{environment,trial,first,gate,gate.next,relay,relay.next} || :
  members "$port"
  ((${#pids[@]} == 0)) || die "$EX_STOP" "slot $port still runs: pid ${pids[*]} "
  now_ms
  result stop_ms "$((ms - begin))"
}

# spare_active [VERB]: ends the step where requests go to the slot, or may; systemd is told VERB of it
# before. What was right a moment ago need not be: a hand may be at the flags.
spare_active() {
  if [[ ! -e $flags/$port && (-z $instead || -e $flags/$instead) ]]; then return; fi
  if (($# > 0)); then unit "$1" "$port" || :; fi # which says why not, and hides no reason
  if [[ -e $flags/$port ]]; then die "$EX_FLAG" "the flag $flags/$port makes port $port the active slot; it is not \
stopped"; fi
  die "$EX_FLAG" "no flag is in $flags, and nginx may turn to port $port without one; it is not stopped"
}

# signal_all NAME: to each process pids.
signal_all() { if ((${#pids[@]} > 0)); then kill "-$1" -- "${pids[@]}" 2>/dev/null || :; fi; }

# served_instead: while the version that took over is down, this one stands in for it, and may finish
# what it was given in that time, for ten seconds.
served_instead() {
  local bound=() end
  listener "$instead"
  if [[ $owner == ours ]]; then return; fi
  say "nothing listens on port $instead just now; port $port stands in"
  while [[ $owner != ours ]] && ! past "$((begin + 10000))"; do
    pause 0.1
    listener "$instead"
  done
  [[ $owner == ours ]] || die "$EX_STOP" "nothing listens on port $instead, to which requests go: the version on port \
$port is kept, since nginx turns to it"
  now_ms
  end=$((ms + 10000))
  sockets "$port" 01 03
  if ((${#bound[@]} > 0)); then say "port $instead is back; port $port finishes ${#bound[@]} connection(s)"; fi
  while ((${#bound[@]} > 0)) && ! past "$end"; do
    pause 0.1
    sockets "$port" 01 03
  done
}

# stop_adopted: one that no longer listens here or works elsewhere now is not what was proved, and
# is left alone.
stop_adopted() {
  local pid start boot clone pids=() bound=()
  adopted "$port"
  while read -r pid start boot clone; do
    if [[ " ${pids[*]} " == *" $pid "* ]] && ! by_hand "$pid" "$port" "$clone"; then
      say "pid $pid no longer listens on port $port from $clone; it is left alone"
      sed -i "/^$pid /d" "$path/slots/$port.adopted"
    fi
  done < <(cat -- "$path/slots/$port.adopted")
  signal TERM
  while adopted "$port" && ((${#pids[@]} > 0)) && ! past "$end"; do pause 0.1; done
  signal KILL
  now_ms
  end=$((ms + 2000))
  while adopted "$port" && sockets "$port" 0A && ((${#pids[@]} + ${#bound[@]} > 0)) && ! past "$end"; do pause 0.1; done
  if ((${#pids[@]} == 0)); then rm -f -- "$path/slots/$port.adopted"; fi
  listener "$port"
  [[ $owner != foreign ]] \
    || die "$EX_STOP" "the version started by hand is stopped, and something listens on port $port again (pid \
$(holders "$port" | tr '\n' ' ')): whatever starts it must be stopped by hand"
}

# signal NAME: to each adopted process; one that another user has started takes it from root only.
signal() {
  local pid pids=()
  adopted "$port"
  for pid in "${pids[@]}"; do
    if [[ -O /proc/$pid ]]; then kill "-$1" "$pid" || :; else as_root kill "-$1" "$pid" || :; fi
  done
}
