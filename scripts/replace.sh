#!/usr/bin/env bash
# Puts a release in the place of the one that serves, one version at a time: visitors wait at the
# new one's socket while the old one ends and the new one boots. It goes on when the runner is gone,
# and goes back to the old release by itself.
#
# Values: app, path, lock_token, port, release, from (the port that serves, or nothing on first
#         use), back (its release, or nothing), environment (as in start.sh), drain_timeout and
#         stop_timeout (seconds), verify_host, health_path, health_status, health_body, health_host,
#         health_timeout (seconds)
# Prints: switched_at (milliseconds since the epoch: visitors wait from then on), what drain.sh,
#         stop.sh, start.sh and health.sh print; serves (the port on which the old version does
#         again, after a failure)
# Exits:  as start.sh and health.sh, EX_FLAG, EX_STOP

main() {
  local pid='' start='' starttime='' log_offset='' words outcome out owner
  own_lock
  fits
  exec {out}>&1
  # Without a flag nginx follows the include's fall-back, which may name this very port.
  if [[ -n $from && ! -e $flags/$from && ! -e $flags/$port ]]; then
    say "the flag of port $from was gone; it is back"
    put_flag "$from"
  fi
  hold "$release" "$environment"
  : >>"$path/logs/$port.log" # what can't be written to could start nothing, and the old version goes on
  if [[ -n $from ]]; then
    foresee "$from" "$port"
    move_flag "$from" "$port"
    epoch_ms
    result switched_at "$ms"
    attempt retire_from
    if ((outcome != 0)); then
      listener "$from"
      if [[ $owner == ours ]]; then give_up; fi
      say "$words"
    fi
  fi
  open_gate
  attempt wait_healthy
  if ((outcome != 0)); then give_up; fi
  if [[ -n $from ]]; then
    pass_on "$from" "$port"
  else
    move_flag '' "$port"
    epoch_ms
    result switched_at "$ms"
  fi
}

retire_from() { retire "$from" "$port"; }

# in_part: a subshell ends at its first failure, but not because nobody listens any more.
in_part() {
  set -e
  finish_alone
}

# attempt FUNCTION: sets outcome to its exit status, and words to what it says to people.
attempt() {
  set +e
  words=$(
    in_part
    "$1" 2>&1 >&"$out"
  )
  outcome=$?
  set -e
}

# give_up: with the words of what failed as the last ones.
give_up() {
  local status=$outcome
  if [[ -n $back ]]; then
    set +e
    (
      in_part
      resume
    )
    set -e
  fi
  say "$words"
  exit "$status"
}

main "$@" </dev/null
