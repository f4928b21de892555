#!/usr/bin/env bash
# Waits until a slot that gets no new requests has none left.
#
# Values: path, drain_timeout (seconds), verify_host
#
# Nginx counts a request from its header on, so uploads that it still reads are among them. It must
# say twice that there is none: a request may be between the choice of its slot and the count. That
# it says nothing must be so three times: on a busy host one answer may be too late.
# Connections to the port that are established or about to be are counted besides, for what comes by
# another way, and where nginx does not say; the application's own outgoing ones are not. A version
# that was started by hand has requests yet to come, too: those that nginx accepted before its one
# reload, and whose body it is still reading.

# drain PORT INSTEAD: prints the results left, hand, drain_ms and flag (see drain.sh), and sets
# quiet (yes, no: nothing is left). INSTEAD is the port that gets the requests.
drain() {
  local port=$1 instead=$2 begin end left flag hand idle=0 mute=0 last='' now bound=() leaving=0
  local chosen loaded terms closed front as way somebody
  now_ms
  begin=$ms
  end=$((begin + drain_timeout * 1000))
  routed
  while :; do
    flag_state
    in_hand "$port"
    if [[ $hand == idle ]]; then idle=$((idle + 1)); else idle=0; fi
    if [[ $hand == unknown ]]; then mute=$((mute + 1)); else mute=0; fi
    sockets "$port" 01 03
    left=${#bound[@]}
    if [[ -e $path/slots/$port.adopted ]]; then left=$((left + $(retiring_workers))); fi
    # The site is gone: requests that nginx has accepted before its reload are its old workers'.
    if [[ ${retiring-} == yes ]]; then leaving=$(retiring_workers); fi
    if [[ $flag != right ]] || past "$end"; then break; fi
    if ((left + leaving == 0)) && ((idle >= 2 || mute >= 3)); then break; fi
    now="$left connection(s) to port $port still open"
    if [[ $hand == busy ]]; then now+=", and nginx has requests for it in hand"; fi
    if ((mute >= 3)); then now+="; nginx does not say what it has in hand"; fi
    if ((leaving > 0)); then now+="; workers of nginx that still finish what they had before its reload: $leaving"; fi
    if [[ $now != "$last" ]] && ((left > 0 || idle + mute == 0 || mute >= 3)); then say "$now"; fi
    last=$now
    if ((idle > 0)); then pause 0.1; else pace "$begin"; fi
    if ((mute > 0)); then routed; fi
  done
  quiet=no
  if ((left == 0 && (idle > 0 || mute >= 3))); then quiet=yes; fi
  result flag "$flag"
  result left "$left"
  result hand "$hand"
  now_ms
  result drain_ms "$((ms - begin))"
}

flag_state() {
  local mine=no theirs=no
  if [[ -e $flags/$port ]]; then mine=yes; fi
  if [[ -n $instead && -e $flags/$instead ]]; then theirs=yes; fi
  case $mine$theirs in
    noyes) flag=right ;;
    yesno) flag=moved ;;
    *) if [[ -z $instead ]]; then flag=right; else flag=unclear; fi ;;
  esac
}
