#!/usr/bin/env bash
# Starts a release on the idle slot.
#
# Values: app, path, lock_token, port, release, active (the port that serves, or nothing on first use)
# Prints: pid and starttime (they name the process), log_offset (where its lines begin in the slot's log, bytes)
# Exits:  EX_FOREIGN when something that is not ours has the port, EX_START when the process can't be started at all

main() {
  local pid start owner offset log=$path/logs/$port.log
  own_lock
  [[ -e $path/releases/$release/.deploy-action/complete ]] || die "$EX_START" "release $release is not complete"
  listener "$port"
  # Ours it is when this step was cut off after its work: then it starts anew.
  if [[ $owner != none ]] && ! { [[ $owner == ours ]] && has_systemd; }; then
    die "$EX_FOREIGN" "port $port has been taken by another process since it was found free ($(who_has "$port"))"
  fi
  # Without a flag nginx follows the include's fall-back, which may name this very port: a flag that was lost is there again first.
  if [[ -n $active && ! -e $flags/$active ]]; then
    say "the flag of port $active was gone; it is back"
    put_flag "$active"
  fi
  stand_down "$port"
  ln -sfnT -- "../releases/$release" "$path/slots/$port.next"
  mv -fT -- "$path/slots/$port.next" "$path/slots/$port"
  if [[ -s $log && $(stat -c %s "$log") -gt 10485760 ]]; then mv -f -- "$log" "$log.1"; fi
  on_trial "$port"
  if [[ -n $active ]]; then protect "$active"; fi # a run that died left it on trial
  printf '=== %s start of %s on port %s\n' "$(date -u +%FT%TZ)" "$release" "$port" >>"$log"
  offset=$(stat -c %s "$log")
  result log_offset "$offset"
  if has_systemd; then
    if ! unit restart "$port"; then
      app_log "$port" "$offset"
      die "$EX_START" "systemd could not start $(unit_of "$port")"
    fi
    # Enabled before anything is switched to it: at no moment would a reboot come back without the active release.
    unit enable "$port"
    slot_pid "$port" || start=${start:-0} # it may have ended already: health.sh says how
  else
    rm -f -- "$path/slots/$port.exit"
    # shellcheck disable=SC2016 # the inner shell expands it
    PORT=$port setsid nohup env -u LC_ALL bash -c 'ulimit -c 0; echo 1000 >/proc/self/oom_score_adj; cd "$1" && bash .deploy-action/start; printf "%s\n" "$?" >"$2"' \
      "$app" "$path/slots/$port" "$path/slots/$port.exit" </dev/null >>"$log" 2>&1 {step_fd}>&- {pause_fd}>&- &
    pid=$!
    start=$(starttime "$pid") || start=0
    printf '%s %s %s\n' "$pid" "$start" "$(</proc/sys/kernel/random/boot_id)" | write "$path/slots/$port.pid" 0644
  fi
  result pid "$pid"
  result starttime "$start"
}

main "$@" </dev/null
