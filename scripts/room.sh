#!/usr/bin/env bash
# Makes room for what the runner will send.
#
# Values: app, path, lock_token, need_kb
# Prints: kept (how many releases stay, where the disk has no room for more), disk_kb (what is free)
# Exits:  EX_DISK when next to nothing is free after it

main() {
  local kb inodes percent
  own_lock
  make_room "$need_kb" "the release"
  disk "$path"
  result disk_kb "$kb"
}

main "$@" </dev/null
