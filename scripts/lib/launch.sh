#!/usr/bin/env bash
# Starts a release on a slot.
#
# Values: app, path, ports (two, blank-separated)

# launch PORT RELEASE [ENVIRONMENT]: prints the results pid, starttime, log_offset and group (see
# start.sh), and sets the first three. With an environment of its own the release keeps the one that it has
# until it has proved itself.
launch() {
  local port=$1 release=$2 log=$path/logs/$1.log other utc unit_name size line enabling
  pid='' starttime='' log_offset=''
  stand_down "$port"
  end_boxes "$port" || die "$EX_START" "a container of an earlier version on port $port could not be ended: \
$(boxes "$port" | cut -d' ' -f 1,2)"
  for other in $ports; do settle_environment "$other"; done
  gone "$path/slots/$port.environment"
  ln -sfnT -- "../releases/$release" "$path/slots/$port.next"
  mv -fT -- "$path/slots/$port.next" "$path/slots/$port"
  turn_over "$log"
  on_trial "$port"
  if [[ -n ${3-} ]]; then renew "$port" "$release" "$3"; fi
  utc_now
  line="=== $utc start of $release on port $port"$'\n'
  printf '%s' "$line" >>"$log"
  log_offset=$((size + ${#line}))
  result log_offset "$log_offset"
  if has_systemd; then
    # Enabled before anything is switched to it: at no moment would a reboot come back without the
    # active release.
    unit enable "$port" &
    enabling=$!
    if ! unit restart "$port" && ! was_there "$port"; then
      wait "$enabling" || :
      app_log "$port" "$log_offset"
      unit_of "$port"
      die "$EX_START" "systemd could not start $unit_name"
    fi
    wait "$enabling"
    starttime=0 # it may have ended already: health.sh says how
    if slot_pid "$port"; then starttime=$start; fi
  else
    rm -f -- "$path/slots/$port.exit"
    if [[ -n ${pause_fd-} ]]; then exec {pause_fd}>&- && pause_fd=''; fi
    # shellcheck disable=SC2016 # the inner shell expands it
    PORT=$port setsid nohup env -u LC_ALL bash -c 'ulimit -c 0; echo 1000 >/proc/self/oom_score_adj
      cd "$1" && bash .deploy-action/start; printf "%s\n" "$?" >"$2"' \
      "$app" "$path/slots/$port" "$path/slots/$port.exit" </dev/null >>"$log" 2>&1 {step_fd}>&- &
    pid=$!
    starttime "$pid" starttime || starttime=0
    write "$path/slots/$port.pid" 0644 "$pid $starttime $(</proc/sys/kernel/random/boot_id)"$'\n'
  fi
  result pid "$pid"
  result starttime "$starttime"
  result group "${group_of[$port]-}"
}

# renew PORT RELEASE ENVIRONMENT: has the version in the slot read this one, and no other slot's. A
# start file of an earlier version of this action looks for none in the slot yet.
renew() {
  local own=$path/releases/$2/.deploy-action
  if cmp -s -- "$own/environment" <(printf '%s' "$3"); then return; fi
  if [[ $(sed -n 3p "$own/start") == '. .deploy-action/environment' ]]; then
    # shellcheck disable=SC2016 # whoever runs that file expands it
    write "$own/start" 0755 "$(sed '3s,^,. "../../slots/$PORT.environment" 2>/dev/null || ,' "$own/start")"$'\n'
  fi
  write "$path/slots/$1.environment" 0600 "$3"
}

# was_there PORT: did its version run at all? One that ends at once may have ended before systemd,
# on a busy host, took note that it had begun; health.sh says how. From 200 on the status is
# systemd's own (systemd.exec(5), "process exit codes").
was_there() {
  local unit_name
  unit_of "$1"
  properties "$unit_name" ExecMainPID ExecMainCode ExecMainStatus
  ((${property[ExecMainPID]:-0} > 0)) \
    && ! ((${property[ExecMainCode]:-0} == 1 && ${property[ExecMainStatus]:-0} >= 200))
}
