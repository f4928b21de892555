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
#         closed (since when visitors get the maintenance page, in seconds, or nothing)
#         For each port N: flag_N, adopted_N, enabled_N, mine_N (yes, no: it was of the pair before),
#         listen_N (none, ours, held, foreign), socket_N (yes, no: systemd holds it), pid_N,
#         release_N, commit_N, recipe_N, proved_N (yes, no: it came through its probation), by_N
#         (JSON: the run that put it live), rss_mb_N, claimed_N: the other application of this
#         action's that has it in its pair, or nothing; processes_N: names of those that the release
#         has beside the one that serves; workers_N: the release and names of those that run
#         For each port N, line_port too, where a process that we did not start listens: who_N (for
#         people), holders_N (pid:starttime of all), folder_N (where they work), clone_N and head_N
#         (the repository's clone there, and its commit), unit_N (its systemd service), app_N

main() {
  local port pid start owner strays others=no line_port=0 include chosen loaded terms closed front as way somebody claims other mine
  fit_root
  include_state
  result include "$include"
  include_app
  result last_repository "$(sed -n '2{s,[^A-Za-z0-9._/-],,g;p;q}' "$path/.app" 2>/dev/null)"
  result line_port "$line_port"
  result site "$(site_state)"
  routed
  result routed "$chosen"
  strays=$(find "$flags" -type f -regex '.*/[0-9]+' -printf '%f\n' 2>/dev/null | grep -vxF -e "${ports% *}" -e "${ports#* }" || :)
  result strays "${strays//$'\n'/ }"
  result boot "$(</proc/sys/kernel/random/boot_id)/$(starttime 1)"
  result closed "$(stat -c %Y -- "$closed_by" 2>/dev/null || :)"
  result recipe_key "$(cat -- "$path/.recipe-key" 2>/dev/null || :)"
  claims=$(claims)
  for port in $ports; do
    claimed "$port"
    result "claimed_$port" "$other"
    result "mine_$port" "$mine"
    result_if "flag_$port" test -e "$flags/$port"
    listener "$port"
    result "listen_$port" "$owner"
    result_if "socket_$port" socket_listens "$port"
    slot_pid "$port" || pid=0
    if [[ $owner == ours && -n $(adopted "$port") ]]; then result "adopted_$port" yes; else result "adopted_$port" no; fi
    if [[ $owner == foreign || -n $(adopted "$port") ]]; then inspect "$port"; fi
    if [[ $owner == foreign ]]; then others=yes; fi
    result "pid_$port" "$pid"
    result "rss_mb_$port" "$(resident_mb "$port")"
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
  elif grep -Fq "$flags/" "$nginx_include"; then
    include=ours
  elif [[ $(sed 's/#.*//; s/^[[:blank:]]*//; s/[[:blank:]]*$//; /^$/d' "$nginx_include") =~ $text ]] \
    && ((10#${BASH_REMATCH[2]} > 0 && 10#${BASH_REMATCH[2]} < 65536)); then
    include=line line_port=$((10#${BASH_REMATCH[2]}))
  fi
}

# site_state: what this action has written for a server block of the user's has none itself. Before
# that, such a block is one that includes the file.
site_state() {
  local rows including faults=() written=/var/lib/deploy-action/$app/site.conf state=ours
  if [[ -e /etc/nginx/conf.d/$app.upstreams.conf ]] || { [[ -e $written ]] && ! grep -q '^server {' "$written"; }; then
    state=theirs
  elif [[ $include == line ]]; then
    look_at_nginx
    levels
    if [[ -n $including && $rows != *$'\tyes\thttp/server\t'"$nginx_include"* ]]; then state=theirs; fi
  fi
  printf '%s' "$state"
}

main "$@" </dev/null
