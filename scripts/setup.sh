#!/usr/bin/env bash
# Makes the folders and the systemd template, where they are missing or differ.
#
# Values: app, path, lock_token, unit (the template's text)
# Prints: changed (what was written, or nothing)
# Exits:  EX_CHECK when the unit's name is somebody else's, or its running instances have another folder or user;
#         EX_NGINX when the site is not ours to write

main() {
  local changed=() file=/etc/systemd/system/$app@.service dir theirs
  own_lock
  look_at_site
  if has_systemd; then
    theirs=$(systemctl cat -- "$app@.service" 2>/dev/null </dev/null || :)
    if [[ -n $theirs ]] && ! grep -qs '^# Written by deploy-action' "$file"; then
      die "$EX_CHECK" "the host already has a unit $app@.service that this action did not write; choose another name with the input app"
    fi
    # A running version restarts by this file: it must not be led to another folder or user before the new one has proved itself.
    if [[ -e $file && $(identity <"$file") != "$(identity <<<"$unit")" && -n $(systemctl list-units --plain --no-legend "$app@*.service" </dev/null) ]]; then
      die "$EX_CHECK" "$app already runs on this host with $(identity <"$file"); keep path and username as they were, or choose another name with the input app"
    fi
  fi
  for dir in releases slots shared venvs logs; do
    [[ -d $path/$dir ]] || mkdir -- "$path/$dir"
  done
  if [[ ! -d $flags || ! -w $flags ]]; then
    as_root install -d -m 0755 /var/lib/deploy-action "/var/lib/deploy-action/$app"
    as_root install -d -m 0755 -o "$(id -un)" -g "$(id -gn)" "$flags"
    changed+=("$flags")
  fi
  if has_systemd && [[ ! -e $file || $(<"$file") != "$unit" ]]; then
    write_root "$file" 0644 <<<"$unit"
    as_root systemctl daemon-reload
    changed+=("$file")
  fi
  result changed "${changed[*]-}"
}

identity() { grep -E '^(User|WorkingDirectory)=' | tr '\n' ' '; }

main "$@" </dev/null
