#!/usr/bin/env bash
# Puts the nginx site (or, for a user's own server block, the upstream groups alone) and the include
# in place, tests them, and has nginx load them; only when something differs.
#
# Values: app, path, lock_token, release (and when this run began), trial (port and release for which
#         the site is written, and which have yet to prove themselves, or nothing), default_site
#         (yes: the site answers for every name), late (a text for the nginx workers of before, where
#         the site is one of those that sent requests with a body through nginx twice)
# Prints: reloaded (yes, no), edited (yes: the site is not as this action left it, and stays)
# Exits:  EX_NGINX when nginx refuses, EX_NOT_ROUTED when it does not take them up; everything is
#         then as it was
#
# What is replaced is kept in /var/lib/deploy-action/APP/nginx/RELEASE, from where restore.sh brings
# it back. An include of the user's is kept beside its place, too.

main() {
  local keep=/var/lib/deploy-action/$app/nginx/$release words log=/var/log/nginx/error.log from end who elsewhere
  own_lock
  look_at_site
  result edited "$edited"
  if ! noted "$release"; then gone "$trial_note"; fi
  if ((${#differing[@]} == 0)) && site_loaded; then
    result reloaded no
    no_more_late
    return
  fi
  if ((${#differing[@]} > 0)); then put_in_place; fi
  if ! words=$(nginx_test 2>&1); then
    put_back "$keep"
    say "$words"
    die "$EX_NGINX" "nginx refuses the configuration with this site in it; the files are as they were"
  fi
  # A reload exits 0 as soon as nginx is told; a port that somebody else has makes it keep the old
  # configuration.
  from=$(stat -c %s -- "$log" 2>/dev/null || printf 0)
  nginx_reload >&2 || :
  now_ms
  end=$((ms + 10000))
  until site_loaded; do
    if past "$end"; then
      { tail -c "+$((from + 1))" -- "$log" || as_root tail -c "+$((from + 1))" -- "$log"; } 2>/dev/null \
        | tail -n 5 >&2 || :
      who=$(who_answers "$elsewhere" "$verify_host")
      put_back "$keep"
      nginx_reload >&2 || :
      [[ -z $elsewhere ]] \
        || die "$EX_NOT_ROUTED" "another site than this one${who:+, $who,} answers for $verify_host to $elsewhere:" \
          "visitors would get that; the files are as they were"
      [[ -z $who ]] \
        || die "$EX_NOT_ROUTED" "nginx was told to reload, and for $verify_host it is $who that answers," \
          "not this site; the files are as they were"
      die "$EX_NOT_ROUTED" "nginx was told to reload, and did not take this site up; its error log, $log" \
        "unless error_log names another one, says why; the files are as they were"
    fi
    pause 0.05
  done
  result reloaded yes
  no_more_late
}

keep_all() {
  begin_keeping "$keep"
  # Who gets in in maintenance is no part of the site, and may be changed while this is kept.
  for file in "$site_file" "$site_written" "$nginx_include"; do set_aside "$keep" "$file"; done
  [[ -e /etc/nginx/$app.d ]] || set_aside "$keep" "/etc/nginx/$app.d"
  if [[ -e $nginx_include ]] && ! grep -Fq "$flags/" "$nginx_include"; then set_aside "$keep" "$bak"; fi
  if [[ $default_site == yes ]] && stock_default; then set_aside "$keep" /etc/nginx/sites-enabled/default; fi
  if grep -Fqs "late.$app.invalid" "$site_file"; then set_aside "$keep" "$late_file"; fi
  end_keeping "$keep"
  forget_others "$keep"
  if [[ -n $trial ]]; then write "$trial_note" 0644 "$trial $release"$'\n'; fi
}

put_in_place() {
  local file bak=$nginx_include.${release%-*}.bak
  settle_record
  # A step that is run again has put some of it in place already.
  if [[ ! -d $keep ]] || ! noted "$release"; then keep_all; fi
  as_root install -d -- "$(dirname -- "$nginx_include")" "$(dirname -- "$site_file")" "/etc/nginx/$app.d"
  if [[ -e $keep/${bak//\//:}.absent && ! -e $bak ]]; then
    as_root cp -a -- "$keep/${nginx_include//\//:}" "$bak"
    say "$nginx_include is this action's from now on; as it was, it is kept in $bak"
  fi
  if grep -Fqs "late.$app.invalid" "$site_file"; then write_root "$late_file" 0644 <<<"$late"; fi
  if [[ ! -e $entry_file ]]; then write_root "$entry_file" 0644 <<<"$entry"; fi
  # Cut off, it can be loaded: our site includes that file, which names groups in a block of theirs.
  if [[ $site_file != *.upstreams.conf ]]; then write_root "$nginx_include" 0644 <<<"$include"; fi
  if [[ $edited == no ]]; then write_root "$site_written.next" 0644 <<<"$site"; fi
  write_root "$site_file" 0644 <<<"$site"
  if [[ $edited == no ]]; then as_root mv -fT -- "$site_written.next" "$site_written"; fi
  if [[ $site_file == *.upstreams.conf ]]; then write_root "$nginx_include" 0644 <<<"$include"; fi
  if [[ -L $keep/:etc:nginx:sites-enabled:default ]]; then # it may lead nowhere from there
    say "the distribution's welcome page gives up port 80 (its link is kept in $keep)"
    as_root rm -f /etc/nginx/sites-enabled/default
  fi
}

no_more_late() { if [[ -e $late_file ]]; then as_root rm -f -- "$late_file"; fi; } # as loaded it does no harm

main "$@" </dev/null
