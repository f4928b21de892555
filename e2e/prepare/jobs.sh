# shellcheck shell=bash
# Runs functions side by side. Sourced.
# shellcheck disable=SC2154 # what common.sh sets

jobs=() # the processes of those that run

# job FUNCTION ARGUMENT...: in the background. It says itself what it does, and dies with the reason
# when it fails.
job() {
  # A process group of its own, so that all of it can be stopped; a terminal's Ctrl-C then comes to
  # this script only.
  set -m
  "$@" </dev/null &
  set +m
  jobs+=("$!")
}

# finish_jobs: waits for all, and stops those that are left when one has failed.
finish_jobs() {
  local left=${#jobs[@]}
  while ((left > 0)); do
    wait -n || exit 1 # its own words say why
    left=$((left - 1))
  done
  jobs=()
}

# stop_jobs: those that still run, with all that they have started.
stop_jobs() {
  local group
  for group in "${jobs[@]}"; do
    if ((EUID == 0)) || ! command -v sudo >/dev/null; then
      kill -TERM -- "-$group" 2>/dev/null || continue
    else # some of it runs as root
      sudo -- kill -TERM -- "-$group" 2>/dev/null || continue
    fi
    wait "$group" 2>/dev/null || :
  done
}

# during TEXT COMMAND...: says what is waited for, and how long it took; what the command wrote
# shows when it has failed.
during() {
  local text=$1 began=$SECONDS log
  shift
  log=$state/${text//[^a-zA-Z0-9]/-}.log
  say "$text ..."
  "$@" >"$log" 2>&1 || {
    tail -n 40 -- "$log" >&2
    die "failed: $text (log: $log)"
  }
  say "$text: done in $((SECONDS - began)) s"
}
