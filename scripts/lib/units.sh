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
  local theirs name names=("$app@.service" "$app@.socket")
  if [[ -n $process_template ]]; then names+=("$app.process@.service"); fi
  for name in "${names[@]}"; do
    theirs=$(systemctl cat -- "$name" 2>/dev/null </dev/null || :)
    if [[ -n $theirs ]] && ! grep -qs '^# Written by deploy-action' "${1%/*}/$name"; then
      die "$EX_CHECK" "the host already has a unit $name that this action did not write; choose another name with the input app"
    fi
  done
  # A running version restarts by this file: it must not be led to another folder or user before the
  # new one has proved itself.
  if [[ -e $1 && $(identity <"$1") != "$(identity <<<"$template")" && -n $(systemctl list-units --plain --no-legend "$app@*.service" </dev/null) ]]; then
    die "$EX_CHECK" "$app already runs on this host with $(identity <"$1"); keep path and username as they were, or choose another name with the input app"
  fi
}

identity() { grep -E '^(User|WorkingDirectory)=' | tr '\n' ' '; }
