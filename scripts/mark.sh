#!/usr/bin/env bash
# Marks the release that serves as one that has proved itself: from now on a run that finds it goes
# on from it, and does not go back to the one before.
#
# Values: app, path, lock_token, release, port, pid, starttime, log_offset, by (JSON: this run,
#         or nothing where the release keeps the one that it has)
# Prints: marked (yes)
# Exits:  EX_DIED, EX_MEMORY

main() {
  own_lock
  must_run
  if [[ -n $by ]]; then write "$path/releases/$release/.deploy-action/by" 0644 "$by"$'\n'; fi
  protect "$port"
  mark_live "$release"
  gone "$path/releases/$release/.deploy-action/left"
  # Without a flag, which a hand has deleted, nginx follows the include's fall-back, and that may be
  # the slot where nothing runs.
  stand_by "$port"
  gone "$path/slots/site.trial" # and with it the site that was written for it
  result marked yes
}

main "$@" </dev/null
