#!/usr/bin/env bash
# Waits until a slot that gets no new requests has none left.
#
# Values: app, path, port, instead (the port that gets the requests), drain_timeout (seconds)
# Prints: left (connections still open when the time was over), drain_ms; flag (right; moved: only this port has one; unclear: both ports have one or
#         none. New requests come, or may, where it is not right, and nothing is waited for)
#
# Counted are connections to the port that are established or about to be; the application's own outgoing ones are not. A version that was
# started by hand has requests yet to come, too: those that nginx accepted before its one reload, and whose body it is still reading.

main() {
  local begin end left flag last=-1
  begin=$(now_ms)
  end=$((begin + drain_timeout * 1000))
  while :; do
    flag_state
    left=$(sockets "$port" '01 03' | wc -l)
    if [[ -e $path/slots/$port.adopted ]]; then left=$((left + $(pgrep -cf '^nginx: worker process is shutting down' || :))); fi
    if [[ $flag != right ]] || ((left == 0 || $(now_ms) >= end)); then break; fi
    if ((left != last)); then say "$left connection(s) to port $port still open"; fi
    last=$left
    pause 0.1
  done
  result flag "$flag"
  result left "$left"
  result drain_ms "$(($(now_ms) - begin))"
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

main "$@" </dev/null
