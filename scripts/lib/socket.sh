#!/usr/bin/env bash
# A socket that systemd holds for a slot: visitors wait at it while nothing runs behind it.
#
# Values: app, path

socket_of() { printf '%s@%s.socket' "$app" "$1"; }

socket_verbs='start enable disable stop'

# unit_socket VERB PORT: one of these, of a slot's socket.
unit_socket() {
  local words
  told "$1"
  as_root systemctl -q "${words[@]}" -- "$(socket_of "$2")" </dev/null
}

# socket_listens PORT: does systemd hold the slot's socket? Nobody else can listen at that address
# then.
socket_listens() {
  has_systemd && [[ $(systemctl show -p ActiveState --value -- "$(socket_of "$1")" 2>/dev/null </dev/null) == active ]]
}

# close_socket PORT: whoever waits at it, and is served by nobody, is let go.
close_socket() {
  if socket_listens "$1" || systemctl is-enabled -q -- "$(socket_of "$1")" 2>/dev/null </dev/null; then
    unit_socket disable "$1"
    unit_socket stop "$1"
  fi
}

# gated PORT: does the version in the slot wait for another one to be gone, or only pass on what
# comes?
gated() {
  local boot='' until='' file
  for file in "$path/slots/$1.gate" "$path/slots/$1.relay"; do
    if { read -r boot until <"$file"; } 2>/dev/null && [[ $boot == "$(</proc/sys/kernel/random/boot_id)" ]]; then
      [[ $file == *.relay ]] || past "$until" || return 0
      [[ $file == *.gate ]] || return 0
    fi
  done
  return 1
}
