#!/usr/bin/env bash
# The host's memory, and who loses it first.
#
# Values: app, path, port, ports

# expendable: when memory runs out, this process and what it starts are the kernel's first choice
# (proc(5), oom_score_adj), so that what serves is not. That takes no rights.
expendable() { { printf 1000 >"/proc/$BASHPID/oom_score_adj"; } 2>/dev/null || :; }

# on_trial PORT: a slot's version starts as the kernel's first choice, by this mark, until protect.
# It holds what died of memory until then, and what there was.
on_trial() { printf '%s %s\n' "$(oom_kills)" "$(memory_mb available)" | write "$path/slots/$1.trial" 0644; }

# protect PORT: what serves is as any other service from now on. A process may go back to where root
# has started it. Twice, for what a process has started in between.
protect() {
  local pid own=0
  [[ -e $path/slots/$1.trial ]] || return 0
  rm -f -- "$path/slots/$1.trial"
  if has_systemd; then own=$(systemctl show -p OOMScoreAdjust --value -- "$(unit_of "$1")" </dev/null); fi
  for _ in 1 2; do
    for pid in $(members "$1"); do
      if [[ $(cat -- "/proc/$pid/oom_score_adj" 2>/dev/null) == 1000 ]]; then
        { printf '%s' "${own:-0}" >"/proc/$pid/oom_score_adj"; } 2>/dev/null \
          || say "pid $pid stays the kernel's first choice when memory runs out"
      fi
    done
  done
}

# oom_kills: how many processes the kernel has ended for want of memory since it booted, 0 where it
# does not count them.
oom_kills() { awk '$1 == "oom_kill" { n = $2 } END { print n + 0 }' /proc/vmstat; }

# starved BEFORE: has it ended more than those?
starved() { (($(oom_kills) > $1)); }

# memory_mb WHAT: total, available or swap, in MB. A container's own limit counts where it is
# smaller.
memory_mb() {
  local kb limit used cache
  case $1 in
    total) kb=$(meminfo MemTotal) ;;
    available) kb=$(meminfo MemAvailable) ;;
    swap) kb=$(meminfo SwapTotal) ;;
  esac
  if [[ $1 != swap ]]; then
    while read -r limit used cache; do
      if [[ $1 == available ]]; then limit=$((limit - used + cache)); fi
      if ((limit / 1024 < kb)); then kb=$((limit / 1024)); fi
    done < <(memory_limits)
  fi
  printf '%d' "$((kb > 0 ? kb / 1024 : 0))"
}

# No process more than needed: each deployment asks.
meminfo() {
  local name kb
  while read -r name kb _; do
    if [[ $name == "$1:" ]]; then break; fi
    kb=0
  done </proc/meminfo
  printf '%d' "$kb"
}

# memory_limits: of the control groups above this process: limit, use, and what of that are files
# that can be let go; in bytes. Version 2 of them, then version 1.
memory_limits() {
  local group dir limit
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
        printf '%s %s %s\n' "$limit" "$(cat -- "$dir/memory.current" "$dir/memory.usage_in_bytes" 2>/dev/null)" \
          "$(awk '$1 == "inactive_file" || $1 == "total_inactive_file" { n = $2 } END { print n + 0 }' "$dir/memory.stat" 2>/dev/null)"
      fi
      dir=${dir%/*}
    done
  done </proc/self/cgroup
}

# memory_words: for people, what there is and what takes it.
memory_words() {
  local swap port mb words
  swap=$(memory_mb swap)
  words="the host has $(memory_mb total) MB of memory and "
  if ((swap > 0)); then words+="$swap MB of swap"; else words+='no swap'; fi
  for port in $ports; do
    if [[ -e $flags/$port ]] && mb=$(resident_mb "$port") && ((mb > 0)); then words+=", and the version that serves takes $mb MB"; fi
  done
  printf '%s' "$words"
}

# resident_mb PORT: what a slot's processes hold in memory.
resident_mb() {
  members "$1" | sed 's,.*,/proc/&/status,' | xargs -r grep -hs '^VmRSS:' \
    | awk '{ kb += $2 } END { print int(kb / 1024) }'
}

# out_of_memory: ends the script when the version on trial in the slot was ended by the kernel for
# want of memory: systemd says so, or something was since its start and the version is down by
# signal KILL, or what was ended was in its group.
out_of_memory() {
  local before=0 free=0 limit='' how
  { read -r before free <"$path/slots/$port.trial" || :; } 2>/dev/null
  starved "$before" || return 0
  how=$(how_it_ended)
  [[ $how == oom || $how == killed ]] || group_starved || return 0
  if has_systemd; then limit=$(systemctl show -p MemoryMax --value -- "$(unit_of "$port")" </dev/null); fi
  if [[ $limit =~ ^[0-9]{1,17}$ ]] && ((limit >> 20 < $(memory_mb total))); then
    die "$EX_MEMORY" "the kernel ended the new version for want of memory: its service may have no more than $((limit >> 20)) MB (MemoryMax of $(unit_of "$port"))"
  fi
  die "$EX_MEMORY" "the kernel ended the new version for want of memory: $free MB were free when it was started; $(memory_words)"
}

# how_it_ended: the slot's main process: oom (as systemd says), killed (also what a shell says of
# that), or other.
how_it_ended() {
  local key value result='' code='' status=''
  if has_systemd; then
    while IFS='=' read -r key value; do
      case $key in Result) result=$value ;; ExecMainCode) code=$value ;; ExecMainStatus) status=$value ;; esac
    done < <(systemctl show -p Result -p ExecMainCode -p ExecMainStatus -- "$(unit_of "$port")" </dev/null)
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
  local group
  has_systemd || return 1
  group=$(systemctl show -p ControlGroup --value -- "$(unit_of "$port")" </dev/null)
  [[ -n $group ]] && cat -- "/sys/fs/cgroup$group/memory.events" "/sys/fs/cgroup/memory$group/memory.oom_control" 2>/dev/null \
    | awk '$1 == "oom_kill" && $2 > 0 { found = 1 } END { exit !found }'
}
