#!/usr/bin/env bash
# Which process is which, and which of them are ours.
#
# Values: app, path, groups (PORT GROUP: what systemd has said of a unit before, as group_of has it; may
#         be left out)

# starttime PID [VARIABLE]: sets began, or that variable, to the 22nd field of /proc/PID/stat (proc(5)),
# which with the pid names one process for ever; fails when it is gone.
starttime() {
  local stat variable=${2-began}
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # the fields are split on purpose
  set -- $stat
  [[ $1 != Z ]] || return 1
  printf -v "$variable" '%s' "${20}"
}

# age_ms STARTTIME: sets age to how long a process has lived, from its start time and the kernel's
# uptime. Linux counts the former in hundredths of a second, whatever its own clock (USER_HZ).
age_ms() {
  local up
  read -r up _ </proc/uptime
  age=$((10#${up/./} * 10 - $1 * 10))
}

# runs PID STARTTIME: is it still that very process?
runs() {
  local began=''
  [[ -n $1 && $1 != 0 && -n $2 ]] && starttime "$1" && [[ $began == "$2" ]]
}

# sockets PORT STATE...: sets bound to those that are bound to a local port, "INODE UID ADDRESS" each,
# from the kernel's own tables (proc(5)); states: 0A listening, 01 established, 03 half open. `ss`
# would need iproute2 and prints for people; this is there on every Linux. Those that listen come
# first in each table.
sockets() {
  local hex line row=() table states=" ${*:2} " entries
  printf -v hex '%04X' "$1"
  bound=()
  for table in /proc/net/tcp /proc/net/tcp6; do
    if [[ ! -r $table ]] || ! mapfile -t entries <"$table"; then continue; fi
    for line in "${entries[@]:1}"; do
      if [[ $states == ' 0A ' && $line != *' 0A '* ]]; then break; fi
      if [[ $line != *":$hex "* ]]; then continue; fi
      read -ra row <<<"$line"
      if [[ ${row[1]} == *":$hex" && $states == *" ${row[3]} "* ]]; then bound+=("${row[9]} ${row[7]} ${row[1]%:*}"); fi
    done
  done
}

# The addresses of the host's own loopback (127.0.0.0/8, ::1), in the kernel's byte order.
loopback='^((0000000000000000FFFF0000)?......7F|00000000000000000000000001000000)$'

# open_to_others PORT: does anything listen on it at an address that is none of those?
open_to_others() {
  local bound=() one
  sockets "$1" 0A
  for one in "${bound[@]}"; do
    if [[ ! ${one##* } =~ $loopback ]]; then return; fi
  done
  return 1
}

# ports_of PORT: the ports on which the slot's processes listen.
ports_of() {
  local files=(/proc/net/tcp) pid pids=() inode hex mine
  [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
  members "$1"
  mine=$(for pid in "${pids[@]}"; do
    find "/proc/$pid/fd" -maxdepth 1 -lname 'socket:*' -printf '%l\n' 2>/dev/null || :
  done)
  while read -r inode hex; do
    if [[ $mine == *"[$inode]"* ]]; then printf '%d\n' "0x$hex"; fi
  done < <(awk 'FNR > 1 && $4 == "0A" { print $10, substr($2, length($2) - 3) }' "${files[@]}")
}

# holders PORT: the pids of all that have a listening socket of the port open; root sees
# everybody's.
holders() {
  local one names=() bound=()
  sockets "$1" 0A
  for one in "${bound[@]}"; do names+=(-o -lname "socket:\[${one%% *}\]"); done
  ((${#names[@]} > 0)) || return 0
  names=(/proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' '(' "${names[@]:1}" ')' -printf '%h\n')
  { as_root_or_not find "${names[@]}" || :; } 2>/dev/null </dev/null | cut -d/ -f3 | sort -nu
}

# folder_of PID: its working directory.
folder_of() {
  { readlink -- "/proc/$1/cwd" || as_root_or_not readlink -- "/proc/$1/cwd" || :; } 2>/dev/null </dev/null
}

# service_of PID: the systemd service that runs it and may start it again; the one through which
# people log in does not.
service_of() {
  local group
  group=$(awk -F: '$2 == "name=systemd" || $1 == 0 { print $3; exit }' "/proc/$1/cgroup" 2>/dev/null) || return 0
  case ${group##*/} in
    ssh.service | sshd.service | ssh@*.service | sshd@*.service) ;;
    *.service) printf '%s' "${group##*/}" ;;
  esac
}

# by_hand PID PORT CLONE: does it listen on the port and work in the clone?
by_hand() {
  local folder
  folder=$(folder_of "$1")
  [[ $folder/ == "$3"/* ]] && holders "$2" | grep -x -- "$1" >/dev/null
}

# adopted PORT: sets pids to those of a version started by hand that adopt.sh has found proved to be
# the old one, while they are those very processes.
adopted() {
  local pid start boot
  pids=()
  [[ -r $path/slots/$1.adopted ]] || return 0
  while read -r pid start boot _; do
    if [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] && runs "$pid" "$start"; then pids+=("$pid"); fi
  done <"$path/slots/$1.adopted"
}

# members PORT: sets pids to those that belong to a slot, as far as its user runs them: those in its
# unit's control group or below, or in the session that its pid file names, and adopted ones. A
# session outlives its leader, and its number is not given out again while a member lives; the boot
# id keeps a file from before a reboot from naming somebody else's.
members() {
  local pid='' start boot group group_folder user_id
  adopted "$1"
  if has_systemd; then
    unit_group "$1" || return 0
    in_group
    return
  fi
  [[ -r $path/slots/$1.pid ]] && read -r pid start boot <"$path/slots/$1.pid" || return 0
  [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] || return 0
  if [[ -e /proc/$pid ]] && ! runs "$pid" "$start"; then return 0; fi
  for pid in $(session "$pid"); do
    if runs_as "$pid" "$EUID"; then pids+=("$pid"); fi
  done
}

# unit_group PORT: sets group to the control group that systemd has given the slot's unit,
# group_folder to where the kernel lists its processes, and user_id to who runs it; fails when
# nothing of it runs. The group is the unit's for as long as it is loaded: asked for once a port.
declare -A group_of=()
if [[ -n ${groups-} ]]; then group_of[${groups%% *}]=${groups#* }; fi
unit_group() {
  local unit_name
  if [[ -z ${group_of[$1]-} ]]; then
    unit_of "$1"
    properties "$unit_name" MainPID ControlGroup User
    note_group "$1" || return
  fi
  read -r user_id group_folder group <<<"${group_of[$1]}"
}

# note_group PORT: keeps what systemd has said of its unit: its main process, and its group, which it
# goes by of version 2, or by one in a hierarchy of its own.
declare -A main_of=()
note_group() {
  local user=${property[User]} folder=- top
  main_of[$1]=${property[MainPID]}
  [[ ${property[ControlGroup]} == /?* ]] || return
  if [[ $user == "$me" ]]; then user=$EUID; else user=$(id -u -- "${user:-root}" 2>/dev/null) || return; fi
  for top in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    if [[ -r $top${property[ControlGroup]}/cgroup.procs ]]; then folder=$top${property[ControlGroup]}; fi
  done
  group_of[$1]="$user $folder ${property[ControlGroup]}"
}

# in_group: adds to pids those in the group or below it. Where the kernel's list is not to be seen,
# as in some containers, each process is asked.
in_group() {
  if [[ $group_folder != - ]]; then
    below "$group_folder"
  else
    said_in_group < <(grep -sF -- ":$group" /proc/[0-9]*/cgroup) # one may have ended meanwhile
  fi
}

# below FOLDER: adds those of a control group and of those in it, as the kernel lists them.
below() {
  local folder pid listed=()
  { mapfile -t listed <"$1/cgroup.procs"; } 2>/dev/null || return 0 # it has ended
  for pid in "${listed[@]}"; do
    if runs_as "$pid" "$user_id"; then pids+=("$pid"); fi
  done
  for folder in "$1"/*/; do
    if [[ -d $folder ]]; then below "${folder%/}"; fi
  done
}

# said_in_group: of lines "/proc/PID/cgroup:ID:CONTROLLERS:GROUP" adds the pids in the group or below
# it: a name that only contains the unit's may be anybody's, such as that of a user's own manager.
said_in_group() {
  local pid controllers name last=''
  while IFS=: read -r pid _ controllers name; do
    pid=${pid#/proc/} pid=${pid%/cgroup}
    if [[ $controllers != '' && $controllers != name=systemd ]]; then continue; fi
    if [[ $name != "$group" && $name != "$group"/* ]]; then continue; fi
    if [[ $pid != "$last" ]] && runs_as "$pid" "$user_id"; then pids+=("$pid"); fi
    last=$pid
  done
}

# runs_as PID UID: is it that user's? Asked of its status, since the folder of one that hides is
# root's.
runs_as() {
  local key real effective
  while read -r key real effective _; do
    [[ $key == Uid: ]] || continue
    [[ $real == "$2" && $effective == "$2" ]]
    return
  done 2>/dev/null <"/proc/$1/status"
  return 1
}

# session SID: the pids of a session, zombies left out. Not every awk goes on after a file that has
# vanished meanwhile, as processes do.
session() {
  { cat /proc/[0-9]*/stat 2>/dev/null || :; } \
    | awk -v sid="$1" '{ pid = $1; sub(/.*\) /, ""); if ($4 == sid && $1 != "Z") print pid }'
}

# slot_pid PORT: sets pid and start to the slot's main process, as systemd or the pid file knows it;
# fails when there is none.
slot_pid() {
  local unit_name
  pid=0 start=0
  if has_systemd; then
    if main_pid "${main_of[$1]-}"; then return; fi # it is the main one for as long as it lives
    unit_of "$1"
    properties "$unit_name" MainPID ControlGroup User
    note_group "$1" || :
    main_pid "${property[MainPID]}"
  else
    [[ -r $path/slots/$1.pid ]] && read -r pid start _ <"$path/slots/$1.pid" && runs "$pid" "$start"
  fi
}

# main_pid PID: the same of what systemd has said.
main_pid() {
  pid=${1:-0}
  [[ $pid != 0 ]] && starttime "$pid" start
}

# listener PORT [polled]: sets owner to `none`, `ours` (the slot's own processes or containers, and
# nobody else, take what is sent to 127.0.0.1:PORT), `held` (systemd has the socket for the slot, and nobody
# answers) or `foreign`. Who asks over and over, as long as there is none (polled), is told at the
# first look.
listener() {
  local pids=() takers again box
  for again in yes no; do
    owner=none
    takers "$1"
    if ((${#takers[@]} == 0)); then
      # The kernel gives its table in pieces: a socket may be passed over while others come and go.
      if [[ ${2-} == polled ]]; then return; fi
      continue
    fi
    members "$1"
    owner=foreign box=''
    if ((${#pids[@]} == 0)) || ! held_by; then boxed "$1"; else box=none; fi
    case $box in
      none | running)
        owner=ours
        if gated "$1"; then owner=held; fi
        return
        ;;
      coming)
        owner=none
        return
        ;;
    esac
    if ((${#pids[@]} == 0)); then
      # While systemd reads its files anew it knows a unit, and not its control group.
      if [[ $again == yes ]]; then
        pause 0.05
        continue
      fi
      if socket_listens "$1"; then owner=held; fi
      return
    fi
    # One of several may have ended while it was looked at.
    if [[ $again == yes ]]; then pause 0.05; fi
  done
}

# takers PORT: sets takers to the listening sockets, as bound has them, that get what is sent to
# 127.0.0.1: the kernel prefers those bound to that very address, then those for any of IPv4, then of
# IPv6. Where there is none of them, all others.
takers() {
  local bound=() one rank best=9
  takers=()
  sockets "$1" 0A
  for one in "${bound[@]}"; do
    case ${one##* } in
      0100007F | 0000000000000000FFFF00000100007F) rank=1 ;;
      00000000 | 0000000000000000FFFF000000000000) rank=2 ;;
      00000000000000000000000000000000) rank=3 ;;
      *) rank=4 ;;
    esac
    if ((rank < best)); then best=$rank takers=(); fi
    if ((rank == best)); then takers+=("$one"); fi
  done
}

# held_by: is every one of these sockets open in one of the processes pids? A socket that one of them
# was seen to hold, and at which somebody listens, is still theirs while that one lives.
declare -A holder_of=()
held_by() {
  local one inode uid pid start held='' folders=()
  for one in "${takers[@]}"; do
    read -r inode uid _ <<<"$one"
    read -r pid start <<<"${holder_of[$inode]-}"
    if [[ -n $pid && " ${pids[*]} " == *" $pid "* ]] && runs "$pid" "$start"; then continue; fi
    if [[ -z $held ]]; then
      for pid in "${pids[@]}"; do folders+=("/proc/$pid/fd"); done
      { held=$(find "${folders[@]}" -maxdepth 1 -lname 'socket:*' -printf '%h %l\n') || :; } 2>/dev/null
    fi
    if [[ $held =~ /proc/([0-9]+)/fd\ socket:\[$inode\] ]]; then
      pid=${BASH_REMATCH[1]}
      if starttime "$pid" start; then holder_of[$inode]="$pid $start"; fi
      continue
    fi
    for pid in "${pids[@]}"; do
      if hides "$pid" "$inode" "$uid"; then continue 2; fi
    done
    return 1
  done
}

# who_has PORT: the process that listens on it, for people: no more of it than that, since a command
# line may hold secrets.
who_has() {
  local pid uid program=unknown bound=()
  pid=$(holders "$1")
  pid=${pid%%$'\n'*}
  sockets "$1" 0A
  ((${#bound[@]} > 0)) || return 0
  read -r _ uid _ <<<"${bound[0]}"
  if [[ -n $pid ]] && read -r program <"/proc/$pid/comm"; then uid=$(stat -c %u "/proc/$pid"); fi 2>/dev/null
  printf 'pid %s, user %s, program %s' "${pid:-unknown}" "$(id -nu "$uid" 2>/dev/null || printf '%s' "$uid")" \
    "$(printf '%s' "$program" | tr -cd '[:print:]')"
}

# hides PID INODE UID: does a process that shows its files to root only, such as one with
# capabilities or in a container, hold a socket? Where root is not to be had, that both belong to one user has to do.
hides() {
  [[ -e /proc/$1 && ! -e /proc/$1/cwd/. ]] || return 1
  if free_root; then
    [[ -n $(as_root find "/proc/$1/fd" -maxdepth 1 -lname "socket:\[$2\]" 2>/dev/null </dev/null) ]]
  else
    [[ $(awk '$1 == "Uid:" { print $3 }' "/proc/$1/status" 2>/dev/null) == "$3" ]]
  fi
}
