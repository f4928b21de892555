#!/usr/bin/env bash
# Makes the folders, the systemd template, the sudoers rules, the rotation of logs and a swap file,
# where they are missing or differ.
#
# Values: app, path, lock_token, template, socket_template and process_template (of the systemd
#         units; the last is nothing where no process runs beside the one that serves), job_template
#         and job_timers (see lib/units.sh; nothing where no job runs by the clock), repository
#         (owner/name), certificate_id (names the certificate that the site is to have, or nothing),
#         thorough (yes: what nothing needs any more goes, even if nothing has to be written)
# Prints: changed (what was written, or nothing)
# Exits:  EX_CHECK when the unit's name is somebody else's, when its running instances have another
#         folder or user, or when something has to be written for which this user lacks the rights;
#         EX_NGINX when the site is not ours to write. Nothing is touched then.

main() {
  local changed=() todo=() stale=() file=/etc/systemd/system/$app@.service
  local socket=${file%.service}.socket line process=/etc/systemd/system/$app.process@.service dir
  own_lock
  look_at_site
  if has_systemd; then
    unit_is_ours "$file"
    units_todo
    jobs_todo
  fi
  if [[ ! -d $flags || ! -O $flags ]]; then
    todo+=("$flags")
  elif [[ -n $(find "$flags" -maxdepth 0 -perm /022) ]]; then
    chmod 0755 -- "$flags" # which slot serves is nobody else's to say
  fi
  if ((EUID > 0)) && ! rules_stand; then
    if free_root && ! rules_have_a_place; then
      say "no sudoers rules are written: sudo has no /etc/sudoers.d here, or its commands lie elsewhere"
    else
      todo+=("$rules_file")
    fi
  fi
  if [[ -n $certificate_id ]] && ! { first_line "$certificate_mark" && [[ $line == "$certificate_id" ]]; } \
    && ! free_root; then
    todo+=("$certificate_mark")
  fi
  if rotates && [[ ! -r $rotation_file || $(<"$rotation_file") != "$(rotation)" ]]; then todo+=("$rotation_file"); fi
  if lacks_swap; then todo+=("$swap_file"); fi
  if ((${#todo[@]} + ${#differing[@]} > 0)) && ! free_root; then
    die "$EX_CHECK" "$(id -un) has the rights for routine deployments only, and these files have to be written: \
${todo[*]} ${differing[*]}: put the inputs back that changed, or run operation: setup once while $(id -un) can run all \
commands as root"
  fi
  if ((${#todo[@]} > 0)) || [[ $thorough == yes ]]; then stale_todo; fi
  for dir in releases slots shared venvs logs; do
    if [[ ! -d $path/$dir ]]; then
      mkdir -- "$path/$dir"
      changed+=("$path/$dir")
    fi
  done
  mark_root
  if ((${#changed[@]} == 0)); then say "already there: the folders in $path"; fi
  if has_systemd; then
    see_to "$file" write_template
    see_to "$socket" write_socket
    if [[ -n $process_template ]]; then see_to "$process" write_process; fi
    see_to_jobs
  fi
  see_to "$flags" make_flags
  if ((EUID > 0)); then see_to "$rules_file" write_rules; fi
  if rotates; then see_to "$rotation_file" write_rotation; fi
  if [[ -n $swap ]]; then see_to "$swap_file" make_swap; fi
  result changed "${changed[*]-}"
}

# mark_root: it is this application's from now on, as this repository's.
mark_root() {
  has_text "$path/.app" "$app"$'\n'"$repository" \
    || write "$path/.app" 0644 "$app"$'\n'"$repository"$'\n'
}

# see_to FILE COMMAND: runs it if the file is to be written.
see_to() {
  if [[ " ${todo[*]-} " == *" $1 "* ]]; then
    "$2" "$1"
    changed+=("$1")
  else
    say "already there: ${1/#"$swap_file"/swap}"
  fi
}

# write_rules FILE: tested alone, before sudo sees them, and then with all that sudo reads. The copy
# comes last: it says that the rules stand.
write_rules() {
  local sound=no rules_text
  if as_root visudo -c >/dev/null 2>&1 </dev/null; then sound=yes; fi
  { rules && write_root "$1" 0440 visudo -cqf <<<"$rules_text"; } \
    || die "$EX_CHECK" "sudo's own test refuses the rules for $1; nothing of them is in place"
  if [[ $sound == yes ]] && ! as_root visudo -c >&2 </dev/null; then
    as_root rm -f -- "$1"
    die "$EX_CHECK" "with the rules in $1 sudo's configuration is not sound any more; they are gone again"
  fi
  write_root "$rules_copy" 0644 <<<"$rules_text"
}

main "$@" </dev/null
