#!/usr/bin/env bash
# Runs a command of the user's in the release that serves, with its environment, one at a time. It
# does not outlive the run that asked for it.
#
# Values: app, path, ports, port (of the active slot), release, command, at_once (yes, no: beside
#         another one), note (who, for people), lock_timeout (seconds, to wait for another one)
# Prints: status (with which it ended), run_ms
# Exits:  EX_RUN when that is not 0, EX_RUN_BUSY when another one runs, EX_MEMORY when it failed for
#         want of memory
#
# What it starts is known by a variable in its environment: a process may leave this session.

starttime "$$" mark
mark=$$-$mark-$RANDOM$RANDOM

# started: the pids of all that the command has started.
started() {
  grep -lsz -xF -- "DEPLOY_ACTION_RUN=$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || :
}

# end_all: SIGTERM, and SIGKILL after five seconds.
end_all() {
  local end
  now_ms
  end=$((ms + 5000))
  started | xargs -r kill -TERM -- 2>/dev/null || :
  while [[ -n $(started) ]] && ! past "$end"; do pause 0.1; done
  for _ in {1..20}; do
    started | xargs -r kill -KILL -- 2>/dev/null || :
    [[ -n $(started) ]] || break
    pause 0.1
  done
}

# watch: ends the command when this verb is told to end, is killed, or nobody is there to hear of it
# any more: the loop that began it ends with the connection.
watch() {
  local loop began main=$1 told=''
  trap 'told=yes' TERM
  loop=$(awk '{ sub(/.*\) /, ""); print $2 }' "/proc/$PPID/stat" 2>/dev/null) || :
  starttime "${loop:-0}" began || told=yes
  while [[ -z $told ]] && runs "$loop" "$began" && [[ -e /proc/$main ]]; do pause 0.5; done
  end_all
}

main() {
  local begin status=0 watcher file
  one_at_a_time
  now_ms
  begin=$ms
  trap : TERM # the watcher ends what runs, and this tells how
  watch "$$" </dev/null >/dev/null 2>&1 &
  watcher=$!
  cd -P -- "$path/releases/$release"
  export PORT=$port DEPLOY_ACTION_RUN=$mark
  environment_file "$port" "$release"
  user_command "$command" "$file" || status=$?
  export -n DEPLOY_ACTION_RUN
  kill -TERM "$watcher" 2>/dev/null || :
  wait "$watcher" || :
  now_ms
  result status "$status"
  result run_ms "$((ms - begin))"
  ((status == 0)) || die "$EX_RUN" "the command exited with status $status$(not_found "$status")"
}

# one_at_a_time: by a lock of its own, which goes with this process and the watcher.
one_at_a_time() {
  local who=''
  umask 077
  exec {step_fd}>>"$path/.lock.run" # which user_command keeps from the command
  umask 022
  if [[ $at_once == yes ]]; then return; fi
  if ! flock -n "$step_fd"; then
    read -r who <"$path/.lock.run" || :
    if ((lock_timeout > 0)); then say "another command runs on this host (${who:-unknown}); waiting up to \
${lock_timeout}s"; fi
    flock -w "$lock_timeout" "$step_fd" \
      || die "$EX_RUN_BUSY" "another command runs on this host (${who:-unknown})"
  fi
  printf '%s, since %s\n' "$note" "$(date -u +%FT%TZ)" >"$path/.lock.run"
}

main "$@" </dev/null
