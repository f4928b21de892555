#!/usr/bin/env bash
# Has the workers of one slot run, and those of the other one end; and sets the timers of its jobs.
#
# Values: app, path, lock_token, processes (names in the input, blank-separated), port (the
#         slot whose are to run, or nothing), other (the one whose are to end, or nothing), overlap
#         (yes: these end once those run; no: before), trial (yes: they have to stay up; no: what
#         does not run is said), watch_for (milliseconds: for how long), carries (yes: this host
#         has the timers of the slot's release; no: none)
# Prints: working (the names of those that run), ended (of those that were told to end), scheduled
#         (the timers that are set)
# Exits:  EX_WORKER when one does not stay up, EX_STOP when one does not end, EX_CHECK without the
#         rights, or a timer

main() {
  local workers='' of='' ended='' all='' due=''
  own_lock
  if [[ -n $port && $carries == yes ]]; then find_timers "$path/slots/$port"; fi
  if [[ -n $other ]] && workers_in "$other"; then ended=$workers; fi
  if [[ -n $port ]]; then
    if workers_in "$port"; then all=$workers; fi
    workers_of "$path/slots/$port"
  else
    workers=''
  fi
  # shellcheck disable=SC2086 # names
  may_handle $ended $all $workers
  if [[ $overlap == no && -n $other ]]; then end_workers "$other"; fi
  workers=''
  if [[ -n $port ]]; then begin_workers "$port"; fi
  if [[ -n $workers ]]; then watch; fi
  set_timers
  result working "$workers"
  if [[ $overlap == yes && -n $other ]]; then end_workers "$other"; fi
  result ended "$ended"
  result scheduled "$due"
}

# watch: each runs, and none has to be started again.
watch() {
  local end down how first
  now_ms
  end=$((ms + watch_for))
  while :; do
    # shellcheck disable=SC2086 # names
    look_at_workers "$port" $workers
    if [[ -n $down ]]; then
      first=${down%% *}
      app_log "$port-$first" "${offsets[$first]-0}"
      [[ $trial == no ]] \
        || die "$EX_WORKER" "the process $first, one of those beside the web process, did not stay up: $how"
      say "not up on port $port: $down; $how"
    fi
    if [[ $trial == no ]] || past "$end"; then return; fi
    pause 0.25
  done
}

main "$@" </dev/null
