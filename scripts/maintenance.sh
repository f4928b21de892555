#!/usr/bin/env bash
# Puts the page in place with which nginx answers visitors while the site is in maintenance, or takes
# it away: one rename, or one deletion, of what nginx looks for on every request.
#
# Values: app, path, lock_token, door (closed, open), page (a path in the active release, or
#         nothing for the page that follows), plain_page (that), active (its port, or nothing),
#         entry_file, entry (who gets in, as nginx reads it) and entry_id (names that), verify_host
# Prints: changed (yes, no), reloaded (yes: others get in than did before)
# Exits:  EX_CHECK when the site or the release is not fit for it, or the rights do not suffice;
#         EX_NGINX when nginx refuses who gets in, EX_NOT_ROUTED when it does not take that up, or
#         does not see the page. What was is then as it was.

main() {
  # shellcheck disable=SC2034 # routed sets them all
  local chosen loaded terms closed front as way somebody reloaded=no changed=no file='' entry_before
  own_lock
  routed
  if [[ $door == open ]]; then
    if [[ -e $closed_by ]]; then changed=yes; fi
    rm -f -- "$closed_by" "$closed_by.before"
    sync "$flags"
  else
    fit_site
    if [[ -n $page ]]; then find_page; fi
    let_in
    put_page
  fi
  result reloaded "$reloaded"
  result changed "$changed"
}

# fit_site: does nginx look for the page?
fit_site() {
  [[ -n $chosen ]] \
    || die "$EX_CHECK" "nginx has no site of $app loaded that answers for $verify_host: deploy it first," \
      "or run operation: setup, and give this run the same app, nginx-include and server-name"
  [[ -n $terms ]] \
    || die "$EX_CHECK" "the site of $app was written by a version of this action that knew no maintenance:" \
      "deploy once with this one, or run operation: setup, and nginx looks for the page from then on"
}

# let_in: has nginx load who gets in, if that is another text than it has. It takes root, and a
# reload.
let_in() {
  local out end
  if [[ $terms == "$entry_id" ]]; then return; fi
  free_root \
    || die "$EX_CHECK" "$(id -un) has the rights for routine deployments only, and $entry_file has to be written," \
      "since others are to get in: put the inputs maintenance-allow and health-path back," \
      "or run this once while $(id -un) can run all commands as root"
  entry_before=$(cat -- "$entry_file" 2>/dev/null) || entry_before=$entry # a hand has deleted it
  write_root "$entry_file" 0644 <<<"$entry"
  if ! out=$(nginx_test 2>&1); then
    write_root "$entry_file" 0644 <<<"$entry_before"
    say "$out"
    die "$EX_NGINX" "nginx refuses its configuration with who gets in in maintenance; $entry_file is as it was"
  fi
  nginx_reload >&2 || :
  reloaded=yes changed=yes
  now_ms
  end=$((ms + 10000))
  until routed && [[ $terms == "$entry_id" ]]; do
    if past "$end"; then
      let_out
      die "$EX_NOT_ROUTED" "nginx was told to reload, and did not take up who gets in in maintenance;" \
        "$entry_file is as it was, and nginx's error log says why"
    fi
    pause 0.05
  done
}

# let_out: those get in who did before.
let_out() {
  if [[ $reloaded != yes ]]; then return; fi
  write_root "$entry_file" 0644 <<<"$entry_before"
  nginx_reload >&2 || :
}

main "$@" </dev/null
