#!/usr/bin/env bash
# Has what was written reach the disk, of which an image is made next.
#
# Values: app, path, lock_token
# Prints: synced (yes)

main() {
  own_lock
  sync
  result synced yes
}

main "$@" </dev/null
