#!/usr/bin/env bash
# The host's memory, and who loses it first.
#
# Values: app, path, port, ports

# expendable: when memory runs out, this process and what it starts are the kernel's first choice
# (proc(5), oom_score_adj), so that what serves is not. That takes no rights.
expendable() { { printf 1000 >"/proc/$BASHPID/oom_score_adj"; } 2>/dev/null || :; }

# on_trial PORT: a slot's version starts as the kernel's first choice, by this mark, until protect.
# It holds what died of memory until then, and what there was.
on_trial() {
  local kills mb
  oom_kills
  memory_mb available
  lay "$path/slots/$1.trial" 0644 "$kills $mb"$'\n' # nobody reads it before the version is started
}

# protect PORT: what serves is as any other service from now on. A process may go back to where root
# has started it. Twice, for what a process has started in between.
protect() {
  local pid pids=() own='' line unit_name
  [[ -e $path/slots/$1.trial ]] || return 0
  rm -f -- "$path/slots/$1.trial"
  if has_systemd; then
    unit_of "$1"
    properties "$unit_name" OOMScoreAdjust MainPID ControlGroup User
    own=${property[OOMScoreAdjust]}
    note_group "$1" || :
  fi
  for _ in 1 2; do
    members "$1"
    for pid in "${pids[@]}"; do
      if first_line "/proc/$pid/oom_score_adj" && [[ $line == 1000 ]]; then
        { printf '%s' "${own:-0}" >"/proc/$pid/oom_score_adj"; } 2>/dev/null \
          || say "pid $pid stays the kernel's first choice when memory runs out"
      fi
    done
  done
}

# oom_kills: sets kills to how many processes the kernel has ended for want of memory since it
# booted, 0 where it does not count them.
oom_kills() {
  kills=0
  named oom_kill kills </proc/vmstat || :
}

# starved BEFORE: has it ended more than those?
starved() {
  local kills
  oom_kills
  ((kills > $1))
}

# named NAME VARIABLE: sets it to the number behind that name on standard input, where there is one.
named() {
  local name number
  while read -r name number _; do
    if [[ $name != "$1" ]]; then continue; fi
    printf -v "$2" '%s' "$number"
    return
  done
}

# memory_mb WHAT [known]: sets mb to the total, what is available, or swap. A container's own limit
# counts where it is smaller; limits may be known already.
memory_mb() {
  local kb=0 one limit used cache
  case $1 in
    total) meminfo MemTotal ;;
    available) meminfo MemAvailable ;;
    swap) meminfo SwapTotal ;;
  esac
  if [[ $1 != swap ]]; then
    if [[ ${2-} != known ]]; then
      local limits
      memory_limits
    fi
    for one in "${limits[@]}"; do
      read -r limit used cache <<<"$one"
      if [[ $1 == available ]]; then limit=$((limit - used + cache)); fi
      if ((limit / 1024 < kb)); then kb=$((limit / 1024)); fi
    done
  fi
  mb=$((kb > 0 ? kb / 1024 : 0))
}

# memory_results: prints the results memory_mb (what is free), memory_total_mb and swap_mb.
memory_results() {
  local mb limits
  memory_limits
  memory_mb available known
  result memory_mb "$mb"
  memory_mb total known
  result memory_total_mb "$mb"
  memory_mb swap
  result swap_mb "$mb"
}

# meminfo NAME: sets kb.
meminfo() { named "$1:" kb </proc/meminfo || :; }

# memory_limits: sets limits, one for each control group above this process that has one: limit, use,
# and what of that are files that can be let go; in bytes. Version 2 of them, then version 1.
memory_limits() {
  local group dir limit use cache line
  limits=()
  while IFS=: read -r _ limit group; do
    case $limit in
      '') dir=/sys/fs/cgroup$group ;;
      memory) dir=/sys/fs/cgroup/memory$group ;;
      *) continue ;;
    esac
    while [[ $dir == /sys/fs/cgroup/* ]]; do
      limit=''
      { read -r limit <"$dir/memory.max" || read -r limit <"$dir/memory.limit_in_bytes" || :; } 2>/dev/null
      if [[ $limit =~ ^[0-9]{1,17}$ ]]; then
        use=0 cache=0
        if first_line "$dir/memory.current" || first_line "$dir/memory.usage_in_bytes"; then use=$line; fi
        {
          named inactive_file cache <"$dir/memory.stat"
          named total_inactive_file cache <"$dir/memory.stat"
        } 2>/dev/null || :
        limits+=("$limit $use $cache")
      fi
      dir=${dir%/*}
    done
  done </proc/self/cgroup
}

# memory_words: for people, what there is and what takes it.
memory_words() {
  local port mb words
  memory_mb total
  words="the host has $mb MB of memory and "
  memory_mb swap
  if ((mb > 0)); then words+="$mb MB of swap"; else words+='no swap'; fi
  for port in $ports; do
    if [[ ! -e $flags/$port ]]; then continue; fi
    resident_mb "$port"
    if ((mb > 0)); then words+=", and the version that serves takes $mb MB"; fi
  done
  printf '%s' "$words"
}

# resident_mb PORT: sets mb to what a slot's processes hold in memory.
resident_mb() {
  local pid pids=() kb all=0
  members "$1"
  for pid in "${pids[@]}"; do
    kb=0
    { named VmRSS: kb <"/proc/$pid/status"; } 2>/dev/null || :
    all=$((all + kb))
  done
  mb=$((all / 1024))
}

# out_of_memory: ends the script when the version on trial in the slot was ended by the kernel for
# want of memory: systemd says so, or something was since its start and the version is down by
# signal KILL, or what was ended was in its group.
out_of_memory() {
  local before=0 free=0 limit='' how mb unit_name
  { read -r before free <"$path/slots/$port.trial" || :; } 2>/dev/null
  starved "$before" || return 0
  how=$(how_it_ended)
  [[ $how == oom || $how == killed ]] || group_starved || return 0
  unit_of "$port"
  if has_systemd; then
    properties "$unit_name" MemoryMax
    limit=${property[MemoryMax]}
  fi
  memory_mb total
  if [[ $limit =~ ^[0-9]{1,17}$ ]] && ((limit >> 20 < mb)); then
    die "$EX_MEMORY" "the kernel ended the new version for want of memory: its service may have no more than\
 $((limit >> 20)) MB (MemoryMax of $unit_name)"
  fi
  die "$EX_MEMORY" "the kernel ended the new version for want of memory: $free MB were free when it was started; \
$(memory_words)"
}

# how_it_ended: the slot's main process: oom (as systemd says), killed (also what a shell says of
# that), or other.
how_it_ended() {
  local result='' code='' status='' unit_name
  if has_systemd; then
    unit_of "$port"
    properties "$unit_name" Result ExecMainCode ExecMainStatus
    result=${property[Result]} code=${property[ExecMainCode]} status=${property[ExecMainStatus]}
  else
    status=$(cat -- "$path/slots/$port.exit" 2>/dev/null) || :
  fi
  if [[ $result == oom-kill ]]; then
    printf 'oom'
  elif [[ $status == 137 || $status == 9 && $code == [23] ]]; then # of waitid(2): killed, dumped
    printf 'killed'
  else
    printf 'other'
  fi
}

# group_starved: did the kernel end a process in the slot's control group?
group_starved() {
  local group unit_name
  has_systemd || return 1
  unit_of "$port"
  properties "$unit_name" ControlGroup
  group=${property[ControlGroup]}
  [[ -n $group ]] \
    && cat -- "/sys/fs/cgroup$group/memory.events" "/sys/fs/cgroup/memory$group/memory.oom_control" 2>/dev/null \
    | awk '$1 == "oom_kill" && $2 > 0 { found = 1 } END { exit !found }'
}
