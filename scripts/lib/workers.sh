#!/usr/bin/env bash
# Workers: what runs of a release beside the process that serves. Each is a unit of its own, whose
# instance is PORT-NAME.
#
# Values: app, path, processes (names in the input, blank-separated), undo, trial (yes: one that was
#         started again counts as down)
#
# slots/PORT.workers names the release and those of its processes that run in a slot, in one line.
# It is written before the first is started, and goes when the last has ended. While they are started
# or ended the release has "-changing" behind it, which no release's name has: a run that is cut off
# leaves it so, and what it left is not taken for what should run.

process_unit=/etc/systemd/system/$app.process@.service
worker_name='^[a-z][a-z0-9_-]{0,31}$'

# workers_in PORT: sets of (the release) and workers; fails when none run. Where nothing is written down
# systemd tells, and nobody knows of which release: on a full disk they were started without.
workers_in() {
  local unit_name
  of='' workers=''
  { read -r of workers || :; } 2>/dev/null <"$path/slots/$1.workers" || :
  if [[ -z $workers && -e $process_unit ]]; then
    while read -r unit_name _; do
      unit_name=${unit_name#*@"$1"-} of=unknown
      workers+="${workers:+ }${unit_name%.service}"
    done < <(systemctl list-units --plain --no-legend --state=active,activating,deactivating \
      "$app.process@$1-*.service" </dev/null)
  fi
  [[ -n $workers ]]
}

# workers_of FOLDER: sets workers to those that the release in it has.
workers_of() {
  local file
  workers=''
  for file in "$1"/.deploy-action/processes/*; do
    if [[ -f $file && ${file##*/} =~ $worker_name ]]; then workers+="${workers:+ }${file##*/}"; fi
  done
}

# may_handle NAME...: ends the script where this user may not start and end them.
may_handle() {
  local name beyond=''
  for name in "$@"; do
    if [[ " $processes $beyond " != *" $name "* ]]; then beyond+="${beyond:+ }$name"; fi
  done
  if [[ -z $beyond ]] || free_root; then return; fi
  die "$EX_CHECK" "$me has the rights for routine deployments only, and none for these processes: $beyond; name each \
in the input processes, with its command, and run operation: setup once while $me can run all commands as root"
}

# may_handle_all RELEASE: the same of those that it has.
may_handle_all() {
  local workers
  workers_of "$path/releases/$1"
  # shellcheck disable=SC2086 # names
  may_handle $workers
}

# look_at_workers PORT NAME...: sets down to the names of those that do not run, or were started
# again, and how to what became of the first.
look_at_workers() {
  local port=$1 name units=() unit_name shown state sub restarts
  shift
  down='' how=''
  for name in "$@"; do
    unit_of "$port-$name"
    units+=("$unit_name")
  done
  ask_systemd 'ActiveState SubState NRestarts ExecMainCode ExecMainStatus Result' "${units[@]}"
  for name in "$@"; do
    next_unit
    state=${property[ActiveState]} sub=${property[SubState]-} restarts=${property[NRestarts]:-0}
    if [[ $state == active && $sub == running && ($restarts == 0 || $trial == no) ]]; then continue; fi
    down+="${down:+ }$name"
    if [[ -n $how ]]; then continue; fi
    if [[ ${property[ExecMainCode]} == 0 ]] && ((restarts > 0)); then
      unit_of "$port-$name"
      await_end "$unit_name"
    fi
    if [[ ${property[Result]} == oom-kill ]]; then
      how='the kernel ended it for want of memory'
    elif [[ ${property[ExecMainCode]} == 1 ]]; then # of waitid(2): exited
      how="it exited with status ${property[ExecMainStatus]}"
    elif [[ ${property[ExecMainCode]} == [23] ]]; then
      how="it was ended by signal ${property[ExecMainStatus]}"
    else
      how="its unit is $state${sub:+ ($sub)}"
    fi
  done
  exec {shown}<&-
}

# begin_workers PORT: starts those of the slot's release, and sets workers to them and offsets to
# where their lines begin in their logs; what runs of that very release goes on.
begin_workers() {
  local port=$1 release of name log utc unit_name size
  release_in "$port"
  if workers_in "$port" && [[ ${of%-changing} != "$release" ]]; then end_workers "$port"; fi
  workers_of "$path/slots/$port"
  if [[ -z $workers ]]; then return; fi
  # Where nothing can be written any more, those that were there before are started all the same.
  write "$path/slots/$port.workers" 0644 "$release-changing $workers"$'\n' || [[ $undo == yes ]]
  for name in $workers; do
    log=$path/logs/$port-$name.log
    unit enable "$port-$name"
    unit_of "$port-$name"
    if ! systemctl is-active -q -- "$unit_name" </dev/null; then
      turn_over "$log" # not under one that runs, which would write on into what is moved away
      utc_now
      { printf '=== %s start of %s of %s on port %s\n' "$utc" "$name" "$release" "$port" >>"$log"; } \
        || [[ $undo == yes ]]
      unit reset-failed "$port-$name" 2>/dev/null || : # it counts from 0 how often it was started again
      offsets[$name]=$(stat -c %s "$log" 2>/dev/null) || offsets[$name]=0
      unit restart "$port-$name" || : # a look tells what became of it
    fi
  done
  write "$path/slots/$port.workers" 0644 "$release $workers"$'\n' || [[ $undo == yes ]]
}
declare -A offsets=()

# end_workers PORT: what runs in the slot finishes what it has in hand, and ends; systemd sees to
# that, and to how long it may take.
end_workers() {
  local port=$1 of workers name job jobs=() left='' unit_name
  workers_in "$port" || return 0
  write "$path/slots/$port.workers" 0644 "${of%-changing}-changing $workers"$'\n' || : # on a full disk they end, too
  for name in $workers; do unit disable "$port-$name" || [[ ! -e $process_unit ]]; done
  for name in $workers; do
    unit stop "$port-$name" &
    jobs+=("$!")
  done
  for job in "${jobs[@]}"; do wait "$job" || :; done
  for name in $workers; do
    unit_of "$port-$name"
    properties "$unit_name" ActiveState # one that is ending, or waits to be started again, is not gone
    [[ ${property[ActiveState]} =~ ^(inactive|failed)?$ ]] || left+="${left:+, }$name"
    unit reset-failed "$port-$name" 2>/dev/null || :
  done
  [[ -z $left ]] || die "$EX_STOP" "these processes of port $port still run: $left"
  rm -f -- "$path/slots/$port.workers" || : # on a read-only disk
  say "ended on port $port: $workers"
}
