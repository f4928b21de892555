#!/usr/bin/env bash
# Which process is which, and which of them are ours.
#
# Values: app, path

# starttime PID: the 22nd field of /proc/PID/stat (proc(5)), which with the pid names one process for ever; fails when it is gone.
starttime() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # the fields are split on purpose
  set -- $stat
  [[ $1 != Z ]] && printf '%s' "${20}"
}

# runs PID STARTTIME: is it still that very process?
runs() { [[ -n $1 && $1 != 0 && -n $2 && $(starttime "$1") == "$2" ]]; }

# sockets PORT STATE: inode and uid of the sockets bound to a local port, from the kernel's own tables (proc(5)); states: 0A listening, 01
# established, 03 half open. `ss` would need iproute2 and prints for people; this is there on every Linux.
sockets() {
  local hex files=(/proc/net/tcp)
  [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
  printf -v hex '%04X' "$1"
  awk -v port=":$hex" -v states="$2" 'FNR > 1 && substr($2, length($2) - 4) == port && index(states, $4) { print $10, $8 }' "${files[@]}"
}

# open_to_others PORT: does anything listen on it at an address that is not the host's own loopback (127.0.0.0/8, ::1, in the kernel's byte order)?
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

# holders PORT: the pids of all that have a listening socket of the port open; root sees everybody's.
holders() {
  local inode _uid names=()
  while read -r inode _uid; do names+=(-o -lname "socket:\[$inode\]"); done < <(sockets "$1" 0A)
  ((${#names[@]} > 0)) || return 0
  names=(/proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' '(' "${names[@]:1}" ')' -printf '%h\n')
  { as_root_or_not find "${names[@]}" || :; } 2>/dev/null </dev/null | cut -d/ -f3 | sort -nu
}

# folder_of PID: its working directory.
folder_of() { { readlink -- "/proc/$1/cwd" || as_root_or_not readlink -- "/proc/$1/cwd" || :; } 2>/dev/null </dev/null; }

# by_hand PID PORT CLONE: does it listen on the port and work in the clone?
by_hand() {
  local folder
  folder=$(folder_of "$1")
  [[ $folder/ == "$3"/* ]] && holders "$2" | grep -x -- "$1" >/dev/null
}

# adopted PORT: the pids of a version started by hand that adopt.sh has found proved to be the old one, while they are those very processes.
adopted() {
  local pid start boot
  [[ -r $path/slots/$1.adopted ]] || return 0
  while read -r pid start boot _; do
    if [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] && runs "$pid" "$start"; then printf '%s\n' "$pid"; fi
  done <"$path/slots/$1.adopted"
}

# members PORT: the pids that belong to a slot: those in its unit's control group, or in the session that its pid file names, and adopted ones.
# A session outlives its leader, and its number is not given out again while a member lives; the boot id keeps a file from before a reboot
# from naming somebody else's.
members() {
  local pid='' start boot
  adopted "$1"
  if has_systemd; then
    grep -lsF "/$(unit_of "$1")" /proc/[0-9]*/cgroup | cut -d/ -f3 || :
    return
  fi
  [[ -r $path/slots/$1.pid ]] && read -r pid start boot <"$path/slots/$1.pid" || return 0
  [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]] || return 0
  if [[ -e /proc/$pid ]] && ! runs "$pid" "$start"; then return 0; fi
  session "$pid"
}

# session SID: the pids of a session, zombies left out. Not every awk goes on after a file that has vanished meanwhile, as processes do.
session() {
  { cat /proc/[0-9]*/stat 2>/dev/null || :; } | awk -v sid="$1" '{ pid = $1; sub(/.*\) /, ""); if ($4 == sid && $1 != "Z") print pid }'
}

# slot_pid PORT: sets pid and start to the slot's main process, as systemd or the pid file knows it; fails when there is none.
slot_pid() {
  pid=0 start=0
  if has_systemd; then
    pid=$(systemctl show -p MainPID --value -- "$(unit_of "$1")" </dev/null)
    [[ $pid != 0 ]] && start=$(starttime "$pid")
  else
    [[ -r $path/slots/$1.pid ]] && read -r pid start _ <"$path/slots/$1.pid" && runs "$pid" "$start"
  fi
}

# listener PORT: sets owner to `none`, `ours` (a member of the slot listens) or `foreign`.
listener() {
  local rows inode uid pid
  owner=none
  rows=$(sockets "$1" 0A)
  [[ -n $rows ]] || return 0
  owner=foreign
  for pid in $(members "$1"); do
    while read -r inode uid; do
      if [[ -n $(find "/proc/$pid/fd" -maxdepth 1 -lname "socket:\[$inode\]" 2>/dev/null) ]] || hides "$pid" "$inode" "$uid"; then
        owner=ours
        return 0
      fi
    done <<<"$rows"
  done
}

# hides PID INODE UID: does a process that shows its files to root only, such as one with capabilities, hold a socket? Where root is not to be
# had, that both belong to one user has to do.
hides() {
  [[ -e /proc/$1 && ! -r /proc/$1/fd ]] || return 1
  if free_root; then
    [[ -n $(as_root find "/proc/$1/fd" -maxdepth 1 -lname "socket:\[$2\]" 2>/dev/null </dev/null) ]]
  else
    [[ $(awk '$1 == "Uid:" { print $3 }' "/proc/$1/status" 2>/dev/null) == "$3" ]]
  fi
}
