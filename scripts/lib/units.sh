#!/usr/bin/env bash
# The files of systemd's that setup.sh writes.
#
# Values: app, template, socket_template, process_template

write_template() {
  write_root "$1" 0644 <<<"$template"
  as_root systemctl daemon-reload
}

write_socket() {
  write_root "$1" 0644 <<<"$socket_template"
  as_root systemctl daemon-reload
}

write_process() {
  write_root "$1" 0644 <<<"$process_template"
  as_root systemctl daemon-reload
}

# unit_is_ours FILE: ends the script otherwise.
unit_is_ours() {
  local name names=("$app@.service" "$app@.socket") identity theirs
  if [[ -n $process_template ]]; then names+=("$app.process@.service"); fi
  for name in "${names[@]}"; do
    if ! written_by_us "${1%/*}/$name" && [[ -n $(systemctl cat -- "$name" 2>/dev/null </dev/null || :) ]]; then
      die "$EX_CHECK" "the host already has a unit $name that this action did not write; choose another name with the \
input app"
    fi
  done
  # A running version restarts by this file: it must not be led to another folder or user before the
  # new one has proved itself.
  [[ -e $1 ]] || return 0
  identity "$(<"$1")"
  theirs=$identity
  identity "$template"
  if [[ $theirs != "$identity" && -n $(systemctl list-units --plain --no-legend "$app@*.service" </dev/null) ]]; then
    die "$EX_CHECK" "$app already runs on this host with $theirs; keep path and username as they were,\
 or choose another name with the input app"
  fi
}

# identity TEXT: sets identity to whose a unit is, and where it works.
identity() {
  local line
  identity=''
  while IFS= read -r line; do
    if [[ $line == User=* || $line == WorkingDirectory=* ]]; then identity+="$line "; fi
  done <<<"$1"
}
