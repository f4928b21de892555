#!/usr/bin/env bash
# Puts the nginx site (or, for a user's own server block, the upstream groups alone) and the include
# in place, tests them, and has nginx load them; only when something differs.
#
# Values: app, path, lock_token, release, default_site (yes: the site answers for every name), late
#         (a text for the nginx workers of before, where the site is one of those that sent requests
#         with a body through nginx twice)
# Prints: reloaded (yes, no), edited (yes: the site is not as this action left it, and is left
#         alone)
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

put_in_place() {
  as_root install -d -m 0755 "${keep%/*}"
  as_root rm -rf -- "$keep"
  as_root install -d -m 0755 "$keep"
  set_aside "$site_file"
  set_aside "$site_written"
  set_aside "$nginx_include"
  set_aside "$entry_file"
  [[ -e /etc/nginx/$app.d ]] || set_aside "/etc/nginx/$app.d"
  if [[ -e $nginx_include ]] && ! grep -Fq "$flags/" "$nginx_include"; then
    set_aside "$nginx_include.$release.bak"
    as_root cp -a -- "$nginx_include" "$nginx_include.$release.bak"
    say "$nginx_include is this action's from now on; as it was, it is kept in $nginx_include.$release.bak"
  fi
  if [[ $default_site == yes ]] && stock_default; then set_aside /etc/nginx/sites-enabled/default; fi

  as_root install -d -- "$(dirname -- "$nginx_include")" "$(dirname -- "$site_file")" "/etc/nginx/$app.d"
  if grep -Fqs "late.$app.invalid" "$site_file"; then
    set_aside "$late_file"
    write_root "$late_file" 0644 <<<"$late"
  fi
  if [[ ! -e $entry_file ]]; then write_root "$entry_file" 0644 <<<"$entry"; fi
  write_root "$nginx_include" 0644 <<<"$include"
  write_root "$site_file" 0644 <<<"$site"
  if [[ $edited == no ]]; then write_root "$site_written" 0644 <<<"$site"; fi
  if [[ -L $keep/:etc:nginx:sites-enabled:default ]]; then # it may lead nowhere from there
    say "the distribution's welcome page gives up port 80 (its link is kept in $keep)"
    as_root rm -f /etc/nginx/sites-enabled/default
  fi
}

# no_more_late: what nginx has loaded of it does no harm until somebody's next reload.
no_more_late() { if [[ -e $late_file ]]; then as_root rm -f -- "$late_file"; fi; }

# set_aside FILE: a copy in $keep under its path with colons, or a note that there was none.
set_aside() {
  local name=${1//\//:}
  if [[ -e $1 || -L $1 ]]; then as_root cp -a -- "$1" "$keep/$name"; else as_root touch -- "$keep/$name.absent"; fi
}

main "$@" </dev/null
