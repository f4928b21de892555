#!/usr/bin/env bash
# What is in a slot; who listens on a port, and whether it is a version of the repository that was
# started by hand.
#
# Values: app, path, ports (two, blank-separated), repository, nginx_include

# slot_release PORT: prints what port.sh says of the release in it, and its unit's group.
slot_release() {
  local release='' dir=$path/slots/$1 of workers='' timers='' line
  if [[ -e $dir/.deploy-action/complete ]]; then
    release_in "$1"
    first_line "$dir/.deploy-action/commit" || :
    result "commit_$1" "$line"
    first_line "$dir/.deploy-action/recipe" || :
    result "recipe_$1" "$line"
    workers_of "$dir"
    timers_of "$dir"
  fi
  result "group_$1" "${group_of[$1]-}"
  result "timers_$1" "$timers"
  result "processes_$1" "$workers"
  workers_in "$1" || :
  result "workers_$1" "$of${workers:+ $workers}"
  result_if "proved_$1" proved "$1"
  first_line "$dir/.deploy-action/by" || :
  result "by_$1" "$line"
  result "release_$1" "$release"
}

# inspect PORT: prints what port.sh says of a process that we did not start. Sets pid.
inspect() {
  local one holders='' folder='' clone='' tree unit='' first=yes who began
  pid=0
  for one in $(holders "$1"); do
    starttime "$one" || began=0
    holders+="$one:$began "
    tree='' # whoever may enter the clone may work in it: the old version is the user's own, or root's
    if runs_as "$one" "$EUID" || runs_as "$one" 0; then tree=$(work_tree "$(folder_of "$one")"); fi
    if [[ $first == yes ]]; then
      first=no pid=$one clone=$tree folder=$(folder_of "$one")
    elif [[ $tree != "$clone" ]]; then
      clone=''
    fi
    unit=${unit:-$(service_of "$one")}
  done
  who=$(who_has "$1")
  [[ -n $who ]] || return 0
  result "who_$1" "$who"
  result "holders_$1" "${holders% }"
  result "folder_$1" "$folder"
  result "clone_$1" "$clone"
  result "head_$1" "$([[ -z $clone ]] || git -C "$clone" rev-parse -q --verify HEAD)"
  result "unit_$1" "$unit"
  result "app_$1" "$(app_of "$unit" "$1")"
}

# app_of UNIT PORT: the other application that this action runs on the port, if the unit is its.
app_of() {
  local other=${1%@"$2".service}
  if [[ $1 == *@"$2".service && $other != "$app" ]] && written_by_us "/etc/systemd/system/$other@.service"; then
    printf '%s' "$other"
  fi
}

# spare_ports: two ports above ours on which nothing listens, and which no application of this
# action has, as the input ports has them.
spare_ports() {
  local bound=() port=$((${ports% *} > ${ports#* } ? ${ports% *} : ${ports#* }))
  while (((port += 2) < 65536)); do
    sockets "$((port - 1))" 0A
    if ((${#bound[@]} == 0)); then sockets "$port" 0A; fi
    if [[ -z ${bound[*]} && $'\n'$claims != *$'\n'"$((port - 1)) "* && $'\n'$claims != *$'\n'"$port "* ]]; then
      printf '%d,%d' "$((port - 1))" "$port"
      return
    fi
  done
}

# work_tree FOLDER: the top of the git work tree in which it lies, if that is a clone of the
# repository; git itself refuses one that belongs to another user. What else the remote's URL holds,
# such as a token, is not said.
work_tree() {
  local top url
  [[ -n $1 ]] && top=$(git -C "$1" rev-parse --show-toplevel 2>/dev/null) \
    && url=$(git -C "$top" config --get remote.origin.url) || return 0
  url=${url%/}
  url=/${url%.git}
  if [[ ${url,,} == *[/:]"${repository,,}" ]]; then printf '%s' "$top"; fi
}

# last_repository: prints the result of that name.
last_repository() {
  local lines=() name
  if [[ -r $path/.app ]]; then mapfile -t -n 2 lines <"$path/.app"; fi
  name=${lines[1]-}
  result last_repository "${name//[^A-Za-z0-9._\/-]/}"
}

# site_state: sets state (ours, theirs). What this action has written for a server block of the
# user's has none itself. Before that, such a block is one that includes the file.
site_state() {
  local rows including faults=() written=/var/lib/deploy-action/$app/site.conf
  state=ours
  if [[ -e /etc/nginx/conf.d/$app.upstreams.conf || -e $written && $'\n'$(<"$written") != *$'\nserver {'* ]]; then
    state=theirs
  elif [[ $include == line ]]; then
    look_at_nginx
    levels
    if [[ -n $including && $rows != *$'\tyes\thttp/server\t'"$nginx_include"* ]]; then state=theirs; fi
  fi
}

# site_trial: prints the result of that name. What was kept before something else was is nobody's to
# bring back any more.
site_trial() {
  local line kept folder
  if first_line "$path/slots/site.trial" && [[ $line =~ ^[0-9]{1,5}\ [A-Za-z0-9-]+\ [A-Za-z0-9-]+$ ]]; then
    kept=${flags%/active}/nginx/${line##* }
    [[ -d $kept ]] || line=''
    for folder in "${kept%/*}"/*; do
      if [[ $folder != *.* && $folder -nt $kept ]]; then line=''; fi
    done
  else
    line=''
  fi
  result site_trial "$line"
}

# include_app: one whose service this action wrote.
include_app() {
  local other='' root=''
  if [[ $include == other ]]; then
    other=$(grep -oE '/var/lib/deploy-action/[a-z][a-z0-9-]{0,31}/active/' "$nginx_include" 2>/dev/null | head -n 1) \
      || :
    other=${other%/active/} other=${other##*/}
    root=$(sed -n 's,^WorkingDirectory=\(/[A-Za-z0-9._/-]*\)/slots/%i$,\1,p' \
      "/etc/systemd/system/$other@.service" 2>/dev/null | head -n 1) || :
  fi
  result include_app "$other"
  result include_path "$root"
}

is_enabled() {
  local unit_name
  unit_of "$1"
  enabled "$unit_name"
}

# ask_of_units: asks systemd of the slots' units, once for all; look_at_units hears what it says.
ask_of_units() {
  local port units=() unit_name socket_name
  has_systemd || return 0
  for port in $ports; do
    unit_of "$port"
    socket_of "$port"
    units+=("$unit_name" "$socket_name")
  done
  ask_systemd 'MainPID ControlGroup User ActiveState' "${units[@]}"
  units_said=$shown
}

# look_at_units: sets main_of, the main processes of the slots, and socket_state, by port.
look_at_units() {
  local port shown=$units_said
  has_systemd || return 0
  property=([MainPID]='' [ControlGroup]='' [User]='' [ActiveState]='')
  for port in $ports; do
    next_unit
    note_group "$port" || :
    next_unit
    socket_state[$port]=${property[ActiveState]}
  done
  exec {shown}<&-
}
declare -A socket_state=()
