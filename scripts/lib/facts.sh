#!/usr/bin/env bash
# What a host says about the two slots, see port.sh.
#
# Values: app, path, ports (two, blank-separated), nginx_include, verify_host, repository

facts() {
  local port pid start owner strays others=no line_port=0 include chosen loaded terms closed front as way somebody
  local claims other mine began there mb pids=() flag state when='' line shown='' units_said=''
  ask_of_units
  fit_root
  include_state
  result include "$include"
  include_app
  last_repository
  result line_port "$line_port"
  site_state
  result site "$state"
  site_trial
  routed
  result routed "$chosen"
  flags_there
  strays=''
  for flag in $there; do
    if [[ " $ports " != *" $flag "* ]]; then strays+="${strays:+ }$flag"; fi
  done
  result strays "$strays"
  starttime 1 || began='' # it may be hidden
  first_line /proc/sys/kernel/random/boot_id || :
  result boot "$line/$began"
  if [[ -e $closed_by ]]; then when=$(stat -c %Y -- "$closed_by") || :; fi
  result closed "$when"
  first_line "$path/.recipe-key" || :
  result recipe_key "$line"
  claims
  look_at_units
  schedule_state
  for port in $ports; do
    claimed "$port"
    result "claimed_$port" "$other"
    result "mine_$port" "$mine"
    result_if "flag_$port" test -e "$flags/$port"
    listener "$port"
    result "listen_$port" "$owner"
    result_if "socket_$port" test "${socket_state[$port]-}" = active
    if has_systemd; then main_pid "${main_of[$port]}" || pid=0; else slot_pid "$port" || pid=0; fi
    adopted "$port"
    if [[ $owner == ours && ${#pids[@]} -gt 0 ]]; then result "adopted_$port" yes; else result "adopted_$port" no; fi
    if [[ $owner == foreign || ${#pids[@]} -gt 0 ]]; then inspect "$port"; fi
    if [[ $owner == foreign ]]; then others=yes; fi
    result "pid_$port" "$pid"
    if [[ $owner == none && $pid == 0 ]]; then mb=0; else resident_mb "$port"; fi
    result "rss_mb_$port" "$mb"
    result_if "enabled_$port" is_enabled "$port"
    slot_release "$port"
    if [[ -n $other && $mine == no ]]; then others=yes; fi
  done
  if [[ $others == yes ]]; then result spare "$(spare_ports)"; fi
  if [[ $line_port != 0 && " $ports " != *" $line_port "* ]]; then inspect "$line_port"; fi
}

# include_state: sets include, and line_port for a file that has nothing but comments and the line
# that the hand-written scripts wrote.
include_state() {
  local text='^set[[:blank:]]+[$]service_url[[:blank:]]+"?http://(127\.0\.0\.1|localhost):([0-9]{1,5})"?[[:blank:]]*;$'
  include=other
  if [[ ! -e $nginx_include ]]; then
    include=absent
  elif [[ -r $nginx_include && $(<"$nginx_include") == *"$flags/"* ]]; then
    include=ours
  elif [[ $(sed 's/#.*//; s/^[[:blank:]]*//; s/[[:blank:]]*$//; /^$/d' "$nginx_include") =~ $text ]] \
    && ((10#${BASH_REMATCH[2]} > 0 && 10#${BASH_REMATCH[2]} < 65536)); then
    include=line line_port=$((10#${BASH_REMATCH[2]}))
  fi
}
