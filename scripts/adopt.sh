#!/usr/bin/env bash
# Writes down that a version which was started by hand is the old one: from then on it is drained
# and stopped like a slot's own. It goes on serving as it did.
#
# Values: app, path, lock_token, port, holders (pid:starttime of all that listen, blank-separated),
#         clone (the folder in which they work)
# Prints: adopted (yes)
# Exits:  EX_CHECK when they are not those processes any more

main() {
  local holder text=''
  own_lock
  for holder in $holders; do
    if ! runs "${holder%:*}" "${holder#*:}" || ! by_hand "${holder%:*}" "$port" "$clone"; then
      die "$EX_CHECK" "the process that listened on port $port has ended or changed meanwhile (pid ${holder%:*})"
    fi
    text+="${holder/:/ } $(</proc/sys/kernel/random/boot_id) $clone"$'\n'
  done
  write "$path/slots/$port.adopted" 0644 "$text"
  result adopted yes
}

main "$@" </dev/null
