#!/usr/bin/env bash
# A socket that systemd holds for a slot: visitors wait at it while nothing runs behind it.
#
# Values: app, path

# socket_of PORT: sets socket_name.
socket_of() { socket_name=$app@$1.socket; }

socket_verbs='start enable disable stop'

# unit_socket VERB PORT: one of these, of a slot's socket.
unit_socket() {
  local words socket_name
  told "$1"
  socket_of "$2"
  as_root systemctl -q "${words[@]}" -- "$socket_name" </dev/null
}

# socket_listens PORT: does systemd hold the slot's socket? Nobody else can listen at that address
# then.
socket_listens() {
  local socket_name
  has_systemd || return 1
  socket_of "$1"
  properties "$socket_name" ActiveState
  [[ ${property[ActiveState]} == active ]]
}

# close_socket PORT: whoever waits at it, and is served by nobody, is let go.
close_socket() {
  local socket_name
  socket_of "$1"
  if socket_listens "$1" || enabled "$socket_name"; then
    unit_socket disable "$1"
    unit_socket stop "$1"
  fi
}

# enabled UNIT: will it be started when the host is? Systemd goes by a link then.
enabled() { has_systemd && compgen -G "/etc/systemd/system/*.wants/$1" >/dev/null; }

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
