#!/usr/bin/env bash
# The files of systemd's that setup.sh writes.
#
# Values: app, path, template, socket_template, process_template, job_template, job_timers (NAME.HASH
#         and the times, with | between them, a timer a line)

job_unit=/etc/systemd/system/$app.job@.service

write_template() {
  write_root "$1" 0644 <<<"$template"
  as_root systemctl daemon-reload
}

write_socket() {
  write_root "$1" 0644 <<<"$socket_template"
  as_root systemctl daemon-reload
}

write_process() {
  write_root "$1" 0644 <<<"$process_template"
  as_root systemctl daemon-reload
}

# units_todo: adds to todo what of the slots' units is to be written: file, socket and process.
units_todo() {
  has_text "$file" "$template" || todo+=("$file")
  has_text "$socket" "$socket_template" || todo+=("$socket")
  [[ -z $process_template ]] || has_text "$process" "$process_template" || todo+=("$process")
}

# timer_unit TIMER TIMES: sets file and text.
timer_unit() {
  file=/etc/systemd/system/$app.job.$1.timer
  text="# Written by deploy-action.
[Unit]
Description=$app ${1%.*}

[Timer]
OnCalendar=${2//|/$'\n'OnCalendar=}
AccuracySec=1s
Unit=$app.job@${1%.*}.service

[Install]
WantedBy=timers.target"
}

# jobs_todo: adds to todo what of theirs is to be written.
jobs_todo() {
  local timer times file text
  [[ -z $job_template ]] || has_text "$job_unit" "$job_template" || todo+=("$job_unit")
  while read -r timer times && [[ -n $timer ]]; do
    timer_unit "$timer" "$times"
    if [[ -e $file ]] && ! written_by_us "$file"; then
      die "$EX_CHECK" "the host already has a unit ${file##*/} that this action did not write;" \
        "choose another name with the input app"
    fi
    has_text "$file" "$text" || todo+=("$file")
  done <<<"$job_timers"
}

see_to_jobs() {
  local timer times file text lines=() written=${#changed[@]}
  if [[ -n $job_template ]]; then mapfile -t lines <<<"$job_timers"; fi
  for line in "${lines[@]}"; do
    read -r timer times <<<"$line"
    timer_unit "$timer" "$times"
    see_to "$file" write_timer
  done
  if [[ -n $job_template ]]; then see_to "$job_unit" write_job; fi
  if ((${#stale[@]} > 0)); then as_root rm -f -- "${stale[@]}"; fi
  if ((${#changed[@]} > written || ${#stale[@]} > 0)); then as_root systemctl daemon-reload; fi
}

write_timer() { write_root "$1" 0644 <<<"$text"; }
write_job() { write_root "$1" 0644 <<<"$job_template"; }

# stale_todo: sets stale to the timers that neither this run, nor a release, nor the schedule names,
# where they can go, and adds to todo the rules, which have lines for each.
stale_todo() {
  local file name used=$job_timers
  for file in "$path"/releases/*/.deploy-action/timers "$path/slots/schedule"; do
    if [[ -r $file ]]; then used+=" $(<"$file")"; fi
  done
  used=" ${used//[[:space:]]/ } "
  for file in "/etc/systemd/system/$app.job."*.timer; do
    name=${file#*".job."}
    if [[ $used != *" ${name%.timer} "* ]] && written_by_us "$file"; then stale+=("$file"); fi
  done
  if ((${#stale[@]} == 0)); then return; fi
  free_root || stale=()
  if ((${#stale[@]} > 0)) && [[ -e $rules_copy ]]; then todo+=("$rules_file"); fi
}

# unit_is_ours FILE: ends the script otherwise.
unit_is_ours() {
  local name names=("$app@.service" "$app@.socket") identity theirs
  if [[ -n $process_template ]]; then names+=("$app.process@.service"); fi
  if [[ -n $job_template ]]; then names+=("$app.job@.service"); fi
  for name in "${names[@]}"; do
    if ! written_by_us "${1%/*}/$name" && [[ -n $(systemctl cat -- "$name" 2>/dev/null </dev/null || :) ]]; then
      die "$EX_CHECK" "the host already has a unit $name that this action did not write; choose another name with the \
input app"
    fi
  done
  # A running version restarts by this file: it must not be led to another folder or user before the
  # new one has proved itself.
  [[ -e $1 ]] || return 0
  theirs=$(<"$1")
  if [[ $theirs == "${template%$'\n'}" ]]; then return; fi # as it usually is
  identity "$theirs"
  theirs=$identity
  identity "$template"
  if [[ $theirs != "$identity" && -n $(systemctl list-units --plain --no-legend "$app@*.service" </dev/null) ]]; then
    die "$EX_CHECK" "$app already runs on this host with $theirs; keep path and username as they were,\
 or choose another name with the input app"
  fi
}

# identity TEXT: sets identity to whose a unit is, and where it works.
identity() {
  local line
  identity=''
  while IFS= read -r line; do
    if [[ $line == User=* || $line == WorkingDirectory=* ]]; then identity+="$line "; fi
  done <<<"$1"
}
