#!/usr/bin/env bash
# Gathers what the host says about the two slots; what it means is decided in Go. Changes nothing.
#
# Values: app, path, ports (two, blank-separated), nginx_include, verify_host, repository
#         (owner/name)
# Prints: include (absent, ours, line: nothing but one line that names a port, other): the file as
#         nginx has it on disk; line_port: the port that such a line names, else 0; site (ours,
#         theirs): whose server block includes the file; routed: where nginx itself says it sends
#         requests, empty when our site is not loaded; strays: flags of ports outside the pair;
#         include_app, include_path: the other application of this action's whose the file is, and
#         its deploy root, or nothing; last_repository: whose releases are here, or nothing; boot:
#         names the host's boot; recipe_key: by which recipes are told, or nothing before the first
#         deployment; spare (two ports on which nothing listens), where one of the pair is not ours;
#         closed (since when visitors get the maintenance page, in seconds, or nothing); site_trial:
#         the port and the release for which the site was written, while they are not proved, and the
#         name under which the site of before is kept, or nothing
#         For each port N: flag_N, adopted_N, enabled_N, mine_N (yes, no: it was of the pair
#         before), listen_N (none, ours, held, foreign), socket_N (yes, no: systemd holds it),
#         pid_N, group_N (see group_of), release_N, commit_N, recipe_N, proved_N (yes, no: it came
#         through its probation), by_N (JSON: the run that put it live), rss_mb_N, claimed_N: the
#         other application of this action's that has it in its pair, or nothing; processes_N: names
#         of those that the release has beside the one that serves; workers_N: the release and names
#         of those that run, with "-changing" behind the release while they were being changed;
#         timers_N: of its jobs. schedule: the timers that are set, and "changing" while they were
#         being changed; failed_jobs: those whose last run failed, for people
#         For each port N, line_port too, where a process that we did not start listens: who_N (for
#         people), holders_N (pid:starttime of all), folder_N (where they work), clone_N and head_N
#         (the repository's clone there, and its commit), unit_N (its systemd service), app_N

main() {
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

main "$@" </dev/null
