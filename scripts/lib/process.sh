#!/usr/bin/env bash
# Which process is which, and which of them are ours.
#
# Values: app, path

# starttime PID [VARIABLE]: the 22nd field of /proc/PID/stat (proc(5)), which with the pid names one
# process for ever; fails when it is gone. Prints it, or sets a variable to it without a process.
starttime() {
  local stat variable=${2-}
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # the fields are split on purpose
  set -- $stat
  [[ $1 != Z ]] || return 1
  if [[ -n $variable ]]; then printf -v "$variable" '%s' "${20}"; else printf '%s' "${20}"; fi
}

# age_ms STARTTIME: how long a process has lived, from its start time in clock ticks and the
# kernel's uptime.
age_ms() {
  local up ticks
  ticks=$(getconf CLK_TCK)
  read -r up _ </proc/uptime
  printf '%s' "$((${up/./} * 10 - $1 * 1000 / ticks))"
}

# runs PID STARTTIME: is it still that very process?
runs() {
  local began=''
  [[ -n $1 && $1 != 0 && -n $2 ]] && starttime "$1" began && [[ $began == "$2" ]]
}

# sockets PORT STATE: inode and uid of the sockets bound to a local port, from the kernel's own
# tables (proc(5)); states: 0A listening, 01 established, 03 half open. `ss` would need iproute2 and
# prints for people; this is there on every Linux.
sockets() {
  local hex files=(/proc/net/tcp)
  [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
  printf -v hex '%04X' "$1"
  awk -v port=":$hex" -v states="$2" 'FNR > 1 && substr($2, length($2) - 4) == port && index(states, $4) { print $10, $8 }' "${files[@]}"
}

# open_to_others PORT: does anything listen on it at an address that is not the host's own loopback
# (127.0.0.0/8, ::1, in the kernel's byte order)?
open_to_others() {
  local hex files=(/proc/net/tcp)
  [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
  printf -v hex '%04X' "$1"
  awk -v port=":$hex" 'FNR > 1 && $4 == "0A" && substr($2, length($2) - 4) == port && $2 !~ /^(0000000000000000FFFF0000)?......7F:/ \
    && $2 !~ /^00000000000000000000000001000000:/ { found = 1 } END { exit !found }' "${files[@]}"
}

# ports_of PORT: the ports on which the slot's processes listen.
ports_of() {
  local files=(/proc/net/tcp) pid inode hex mine
  [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
  mine=$(for pid in $(members "$1"); do find "/proc/$pid/fd" -maxdepth 1 -lname 'socket:*' -printf '%l\n' 2>/dev/null || :; done)
  while read -r inode hex; do
    if [[ $mine == *"[$inode]"* ]]; then printf '%d\n' "0x$hex"; fi
  done < <(awk 'FNR > 1 && $4 == "0A" { print $10, substr($2, length($2) - 3) }' "${files[@]}")
}

# holders PORT: the pids of all that have a listening socket of the port open; root sees
# everybody's.
holders() {
  local inode _uid names=()
  while read -r inode _uid; do names+=(-o -lname "socket:\[$inode\]"); done < <(sockets "$1" 0A)
  ((${#names[@]} > 0)) || return 0
  names=(/proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' '(' "${names[@]:1}" ')' -printf '%h\n')
  { as_root_or_not find "${names[@]}" || :; } 2>/dev/null </dev/null | cut -d/ -f3 | sort -nu
}

# folder_of PID: its working directory.
folder_of() { { readlink -- "/proc/$1/cwd" || as_root_or_not readlink -- "/proc/$1/cwd" || :; } 2>/dev/null </dev/null; }

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

# adopted PORT: the pids of a version started by hand that adopt.sh has found proved to be the old
# one, while they are those very processes.
adopted() {
  local pid start boot
  [[ -r $path/slots/$1.adopted ]] || return 0
  while read -r pid start boot _; do
    if [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] && runs "$pid" "$start"; then printf '%s\n' "$pid"; fi
  done <"$path/slots/$1.adopted"
}

# members PORT: the pids that belong to a slot, as far as its user runs them: those in its unit's
# control group or below, or in the session that its pid file names, and adopted ones. A session
# outlives its leader, and its number is not given out again while a member lives; the boot id keeps
# a file from before a reboot from naming somebody else's.
members() {
  local pid='' start boot
  adopted "$1"
  if has_systemd; then
    unit_group "$1" || return 0
    in_group < <(grep -sF -- ":$group" /proc/[0-9]*/cgroup) # one may have ended meanwhile
    return
  fi
  [[ -r $path/slots/$1.pid ]] && read -r pid start boot <"$path/slots/$1.pid" || return 0
  [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] || return 0
  if [[ -e /proc/$pid ]] && ! runs "$pid" "$start"; then return 0; fi
  for pid in $(session "$pid"); do
    if runs_as "$pid" "$EUID"; then printf '%s\n' "$pid"; fi
  done
}

# unit_group PORT: sets group to the control group that systemd has given the slot's unit, and
# user_id to who runs it; fails when nothing of it runs. The group is the unit's for as long as it
# is loaded: asked for once a port, where this is not called in a subshell.
declare -A group_of=()
unit_group() {
  local user line
  if [[ -z ${group_of[$1]-} ]]; then
    group='' user=''
    while IFS= read -r line; do
      case $line in
        ControlGroup=/?*) group=${line#*=} ;;
        User=*) user=${line#*=} ;;
      esac
    done < <(systemctl show -p ControlGroup -p User -- "$(unit_of "$1")" </dev/null)
    [[ -n $group ]] || return 1
    line='\u' user_id=$EUID
    if [[ $user != "${line@P}" ]]; then user_id=$(id -u -- "${user:-root}" 2>/dev/null) || return 1; fi
    group_of[$1]="$user_id $group"
  fi
  read -r user_id group <<<"${group_of[$1]}"
}

# in_group: of lines "/proc/PID/cgroup:ID:CONTROLLERS:GROUP" the pids in the group or below it: a
# name that only contains the unit's may be anybody's, such as that of a user's own manager. It is
# the group by which systemd goes, of version 2 or of its own hierarchy.
in_group() {
  local pid controllers name last=''
  while IFS=: read -r pid _ controllers name; do
    pid=${pid#/proc/} pid=${pid%/cgroup}
    if [[ $controllers != '' && $controllers != name=systemd ]]; then continue; fi
    if [[ $name != "$group" && $name != "$group"/* ]]; then continue; fi
    if [[ $pid != "$last" ]] && runs_as "$pid" "$user_id"; then printf '%s\n' "$pid"; fi
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
  pid=0 start=0
  if has_systemd; then
    pid=$(systemctl show -p MainPID --value -- "$(unit_of "$1")" </dev/null)
    [[ $pid != 0 ]] && start=$(starttime "$pid")
  else
    [[ -r $path/slots/$1.pid ]] && read -r pid start _ <"$path/slots/$1.pid" && runs "$pid" "$start"
  fi
}

# listener PORT [polled]: sets owner to `none`, `ours` (the slot's own processes or containers, and
# nobody else, take what is sent to 127.0.0.1:PORT), `held` (systemd has the socket for the slot, and nobody
# answers) or `foreign`. Who asks over and over, as long as there is none (polled), is told at the
# first look.
listener() {
  local pids='' rows again box
  for again in yes no; do
    owner=none
    rows=$(takers "$1")
    if [[ -z $rows ]]; then
      # The kernel gives its table in pieces: a socket may be passed over while others come and go.
      if [[ $again == no || ${2-} == polled ]]; then return; fi
      pause 0.02
      continue
    fi
    if has_systemd; then unit_group "$1" || :; fi # for members to know
    pids=$(members "$1")
    owner=foreign
    box=''
    if [[ -z $pids ]] || ! held_by "$pids" "$rows"; then boxed "$1" "$rows"; else box=none; fi
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
    if [[ -z $pids ]]; then
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

# takers PORT: inode and uid of the listening sockets that get what is sent to 127.0.0.1: the kernel
# prefers those bound to that very address, then those for any of IPv4, then of IPv6. Where there is
# none of them, all others.
takers() {
  local hex files=(/proc/net/tcp)
  [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
  printf -v hex '%04X' "$1"
  awk -v port=":$hex" 'FNR > 1 && $4 == "0A" && substr($2, length($2) - 4) == port {
      address = substr($2, 1, length($2) - 5)
      four = address; sub(/^0000000000000000FFFF0000/, "", four)
      rank = four == "0100007F" ? 1 : four == "00000000" ? 2 : address ~ /^0+$/ ? 3 : 4
      if (!best || rank < best) best = rank
      row[NR] = $10 " " $8; of[NR] = rank
    }
    END { for (n in row) if (of[n] == best) print row[n] }' "${files[@]}"
}

# held_by PIDS ROWS: is every one of these sockets open in one of these processes?
held_by() {
  local inode uid pid held folders=()
  for pid in $1; do folders+=("/proc/$pid/fd"); done
  held=$(find "${folders[@]}" -maxdepth 1 -lname 'socket:*' -printf '%l ' 2>/dev/null) || :
  while read -r inode uid; do
    if [[ $held == *"socket:[$inode]"* ]]; then continue; fi
    for pid in $1; do
      if hides "$pid" "$inode" "$uid"; then continue 2; fi
    done
    return 1
  done <<<"$2"
}

# who_has PORT: the process that listens on it, for people: no more of it than that, since a command
# line may hold secrets.
who_has() {
  local pid uid program=unknown
  pid=$(holders "$1")
  pid=${pid%%$'\n'*}
  read -r _ uid < <(sockets "$1" 0A) || return 0
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
