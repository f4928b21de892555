#!/usr/bin/env bash
# The files of systemd's that setup.sh writes.
#
# Values: app, template, socket_template

write_template() {
  write_root "$1" 0644 <<<"$template"
  as_root systemctl daemon-reload
}

write_socket() {
  write_root "$1" 0644 <<<"$socket_template"
  as_root systemctl daemon-reload
}

# unit_is_ours FILE: ends the script otherwise.
unit_is_ours() {
  local theirs kind
  for kind in service socket; do
    theirs=$(systemctl cat -- "$app@.$kind" 2>/dev/null </dev/null || :)
    if [[ -n $theirs ]] && ! grep -qs '^# Written by deploy-action' "${1%.service}.$kind"; then
      die "$EX_CHECK" "the host already has a unit $app@.$kind that this action did not write; choose another name with the input app"
    fi
  done
  # A running version restarts by this file: it must not be led to another folder or user before the
  # new one has proved itself.
  if [[ -e $1 && $(identity <"$1") != "$(identity <<<"$template")" && -n $(systemctl list-units --plain --no-legend "$app@*.service" </dev/null) ]]; then
    die "$EX_CHECK" "$app already runs on this host with $(identity <"$1"); keep path and username as they were, or choose another name with the input app"
  fi
}

identity() { grep -E '^(User|WorkingDirectory)=' | tr '\n' ' '; }
