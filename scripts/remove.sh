#!/usr/bin/env bash
# Takes the application off the host, a part at a time. Nothing goes that is not proved this
# action's; each part may be cut off anywhere, and done again.
#
# Values: app, path, lock_token, part (list: says what would go, and changes nothing; site: nginx
#         sends it nothing any more; files: services, and what else is root's; root: the deploy
#         root), sure (yes: list is for a removal that follows), shared_too (yes, no: what is
#         shared goes, too), nginx_include, verify_host
# Prints: go_0 … (list: what would go, for people) and stay_0 … (what stays, of all parts); reloaded
#         (yes, no: site); stuck (root: some files that could not be deleted, blank-separated)
# Exits:  EX_CHECK when it is not as a removal needs it, or the rights do not suffice, EX_RUN_BUSY
#         when a command of the operation run still runs; EX_NGINX when nginx refuses its
#         configuration without the site, or does not take that up: its files are then as they were;
#         EX_STOP when something does not end

main() {
  local stays=0 files=() units=() others=() mine=() kept=()
  if [[ $part != list ]]; then own_lock; fi
  find_nginx
  find_what_goes
  "the_$part"
}

the_list() {
  local n=0 one pid
  judge_removal
  for one in "${files[@]}" "${units[@]}" "${others[@]}" "${mine[@]}"; do
    result "go_$n" "$(described "$one")"
    n=$((n + 1))
  done
  if ((n == 0)) && loaded_still; then result go_0 "what nginx has loaded of its site"; fi
  for one in "${kept[@]}"; do stay "$one"; done
}

the_site() {
  local reloaded=no
  judge_includes
  if ((${#files[@]} > 0)) || loaded_still; then take_site; fi
  find "$flags" -mindepth 1 -delete 2>/dev/null || : # nginx looks at none of them any more
  result reloaded "$reloaded"
}

the_files() {
  local one glob owner
  # An old deploy root is known by the service alone, which goes before it.
  root_owner
  if [[ ! -e $path/.app && $owner == "$app" ]]; then write "$path/.app" 0644 "$app"$'\n'; fi
  for one in "${units[@]}"; do
    glob=${one##*/}
    glob=${glob/@/@*}
    as_root systemctl -q stop -- "$glob" </dev/null || die "$EX_STOP" "systemd could not stop all of $glob"
    as_root systemctl -q reset-failed -- "$glob" 2>/dev/null </dev/null || :
    as_root find /etc/systemd/system -mindepth 2 -maxdepth 2 -type l -path '*.wants/*' -name "$glob" -delete
    as_root rm -f -- "$one"
  done
  if has_systemd; then as_root systemctl daemon-reload </dev/null; fi
  for one in "${others[@]}"; do
    if [[ $one == /etc/nginx/* ]]; then as_root rmdir -- "$one"; else as_root rm -rf --one-file-system -- "$one"; fi
  done
  as_root rmdir --ignore-fail-on-non-empty /var/lib/deploy-action 2>/dev/null || :
}

# the_root: what says whose folder it is goes last. The lock goes with who holds it: see lock.sh.
the_root() {
  local one
  for one in "${mine[@]}"; do
    if [[ $one != "$path/.app" ]]; then delete "$one"; fi
  done
  if ((${#mine[@]} > 0)); then rmdir -- "$path/shared" 2>/dev/null || :; fi # where nobody has used it
  if ((${#mine[@]} > 0 && ${#stuck[@]} == 0)) && [[ ! -e $path/shared ]]; then rm -f -- "$path/.app"; fi
  while IFS= read -r one; do stay "$path/$one"; done \
    < <(find "$path" -mindepth 1 -maxdepth 1 ! -name '.lock*' ! -name .app -printf '%f\n' | sort)
  result stuck "$(printf '%s ' "${stuck[@]:0:3}" | tr -d '\n\r')"
  : >"$path/.lock.last"
}

# stay WHAT: one thing that is left, for people.
stay() {
  result "stay_$stays" "$(tr -cd '[:print:]' <<<"$1")"
  stays=$((stays + 1))
}

main "$@" </dev/null
