#!/usr/bin/env bash
# Jobs: what of a release runs by the clock. A timer of systemd's starts each; its file is named by
# the job and by the times in it, NAME.HASH, and so never changes.
#
# Values: app, path, undo, trial (yes: a timer that is missing ends the script), job_lines
#         (NAME.HASH: COMMAND, one a line)
#
# slots/schedule names the timers that are set, in one line, which ends with "changing" until all
# are. A job runs the release that nginx's flag names at that moment.

timer_form='^([a-z][a-z0-9_-]{0,31}\.[0-9a-f]{8} ?)*$'

# timers_of FOLDER: sets timers to those of the release in it.
timers_of() {
  local line
  first_line "$1/.deploy-action/timers" || :
  timers=''
  if [[ $line =~ $timer_form ]]; then timers=$line; fi
}

# timers_set: sets timers to those that are set, and changing.
timers_set() {
  local line
  first_line "$path/slots/schedule" || :
  timers=${line% changing} changing=no
  if [[ $line == *changing ]]; then changing=yes; fi
  [[ $timers =~ $timer_form ]] || timers='' changing=yes
}

timer_is_there() { [[ -e /etc/systemd/system/$app.job.$1.timer ]]; }

# find_timers FOLDER: sets due to those of the release in it that can be set.
find_timers() {
  local timers one
  due=''
  timers_of "$1"
  for one in $timers; do
    if timer_is_there "$one"; then
      due+="${due:+ }$one"
    elif [[ $trial == yes ]]; then
      die "$EX_CHECK" "the timer of the job ${one%.*} is not on this host any more: deploy that commit anew"
    else
      say "the timer of the job ${one%.*} is not on this host any more, so that nothing starts it"
    fi
  done
}

# set_timers: has those of due set, and no others. A job that runs finishes in any case.
set_timers() {
  local timers changing one
  timers_set
  if [[ $changing == no && -z $timers$due ]]; then return; fi
  # Where nothing can be written any more, those that were there before are set all the same.
  if [[ $changing == yes || $timers != "$due" ]]; then
    changing=yes
    write "$path/slots/schedule" 0644 "${due:+$due }${timers:+$timers }changing"$'\n' || [[ $undo == yes ]]
  fi
  for one in $timers; do
    if [[ " $due " != *" $one "* ]] && timer_is_there "$one"; then
      timer stop "$one"
      timer disable "$one"
    fi
  done
  for one in $due; do
    if [[ $changing == yes ]] || ! enabled "$app.job.$one.timer"; then timer enable "$one"; fi
    if ! systemctl is-active -q -- "$app.job.$one.timer" </dev/null; then timer restart "$one"; fi
    turn_over "$path/logs/job-${one%.*}.log" || :
  done
  if [[ $changing == no ]]; then return; fi
  if [[ -n $due ]]; then
    write "$path/slots/schedule" 0644 "$due"$'\n' || [[ $undo == yes ]]
  else
    rm -f -- "$path/slots/schedule" || : # on a read-only disk
  fi
}

# each_job NAMES COMMAND: runs it with one and property set to each job and what systemd says of its
# service by these names. Times are UTC.
each_job() {
  local timers changing one units=() shown
  local -x TZ=UTC0
  timers_set
  for one in $timers; do units+=("$app.job@${one%.*}.service"); done
  if ((${#units[@]} == 0)) || ! has_systemd; then return 0; fi
  ask_systemd "$1" "${units[@]}"
  for one in $timers; do
    next_unit
    "$2"
  done
  exec {shown}<&-
}

# schedule_state: prints what port.sh says of the jobs.
schedule_state() {
  local timers changing failed=''
  timers_set
  if [[ $changing == yes ]]; then timers+="${timers:+ }changing"; fi
  result schedule "$timers"
  each_job 'Result ExecMainStatus' note_failed
  result failed_jobs "$failed"
}

note_failed() {
  if [[ ${property[Result]:-success} != success ]]; then
    failed+="${failed:+, }${one%.*} (${property[Result]}, status ${property[ExecMainStatus]})"
  fi
}

# write_jobs: writes the start files of a release's jobs, in its folder, and sets timers. A command is
# data until the unit runs it; the shell that waits for it keeps the release on the disk meanwhile.
write_jobs() {
  local line name command text
  timers=''
  if [[ -e .deploy-action/schedule ]]; then rm -rf -- .deploy-action/schedule .deploy-action/timers; fi
  while IFS= read -r line; do
    if [[ -z $line ]]; then continue; fi
    mkdir -p .deploy-action/schedule
    name=${line%%.*} command=${line#*: }
    # shellcheck disable=SC2016 # the unit's shell expands it
    printf -v text '%s\n' '#!/usr/bin/env bash' '# Written by deploy-action.' \
      '. "../../slots/$SLOT.environment" 2>/dev/null || . .deploy-action/environment' \
      'TZ=UTC0 printf "=== %(%FT%TZ)T start of %s of %s\n" -1 '"$name"' "$RELEASE"' \
      "bash -c ${command@Q}" 'status=$?' \
      'TZ=UTC0 printf "=== %(%FT%TZ)T end of %s with status %s\n" -1 '"$name"' "$status"' 'exit "$status"'
    write ".deploy-action/schedule/$name" 0644 "$text"
    timers+="${timers:+ }${line%%: *}"
  done <<<"$job_lines"
  if [[ -n $timers ]]; then write .deploy-action/timers 0644 "$timers"$'\n'; fi
}
