#!/usr/bin/env bash
# Puts the nginx site (or, for a user's own server block, the upstream groups alone) and the include in place, tests them, and has nginx load
# them; only when something differs.
#
# Values: app, path, lock_token, release, default_site (yes: the site answers for every name)
# Prints: reloaded (yes, no), edited (yes: the site is not as this action left it, and is left alone)
# Exits:  EX_NGINX when nginx refuses, EX_NOT_ROUTED when it does not take them up; everything is then as it was
#
# What is replaced is kept in /var/lib/deploy-action/APP/nginx/RELEASE, from where restore.sh brings it back. An include of the user's is kept
# beside its place, too.

main() {
  local keep=/var/lib/deploy-action/$app/nginx/$release words log=/var/log/nginx/error.log from end hint
  own_lock
  look_at_site
  result edited "$edited"
  if ((${#differing[@]} == 0)) && site_loaded; then
    result reloaded no
    return
  fi
  if ((${#differing[@]} > 0)); then put_in_place; fi
  if ! words=$(nginx_test 2>&1); then
    put_back "$keep"
    say "$words"
    die "$EX_NGINX" "nginx refuses the configuration with this site in it; the files are as they were"
  fi
  # A reload exits 0 as soon as nginx is told; a port that somebody else has makes it keep the old configuration.
  from=$(stat -c %s -- "$log" 2>/dev/null || printf 0)
  nginx_reload >&2 || :
  end=$(($(now_ms) + 10000))
  until site_loaded; do
    if (($(now_ms) > end)); then
      { tail -c "+$((from + 1))" -- "$log" || as_root tail -c "+$((from + 1))" -- "$log"; } 2>/dev/null | tail -n 5 >&2 || :
      put_back "$keep"
      nginx_reload >&2 || :
      [[ $site_file != *.upstreams.conf ]] || hint="; $nginx_include must be included at server level, not in a location"
      die "$EX_NOT_ROUTED" "nginx was told to reload, and does not answer for $verify_host with this site: another site has the name, or nginx could not do it${hint-}; the files are as they were"
    fi
    pause 0.05
  done
  result reloaded yes
}

put_in_place() {
  as_root install -d -m 0755 "${keep%/*}"
  as_root rm -rf -- "$keep"
  as_root install -d -m 0755 "$keep"
  set_aside "$site_file"
  set_aside "$site_written"
  set_aside "$nginx_include"
  if [[ -e $nginx_include ]] && ! grep -Fq "$flags/" "$nginx_include"; then
    set_aside "$nginx_include.$release.bak"
    as_root cp -a -- "$nginx_include" "$nginx_include.$release.bak"
    say "$nginx_include is this action's from now on; as it was, it is kept in $nginx_include.$release.bak"
  fi
  if [[ $default_site == yes ]] && stock_default; then set_aside /etc/nginx/sites-enabled/default; fi

  as_root install -d -- "$(dirname -- "$nginx_include")"
  write_root "$nginx_include" 0644 <<<"$include"
  write_root "$site_file" 0644 <<<"$site"
  if [[ $edited == no ]]; then write_root "$site_written" 0644 <<<"$site"; fi
  if [[ -e $keep/:etc:nginx:sites-enabled:default ]]; then
    say "the distribution's welcome page gives up port 80 (its link is kept in $keep)"
    as_root rm -f /etc/nginx/sites-enabled/default
  fi
}

# set_aside FILE: a copy in $keep under its path with colons, or a note that there was none.
set_aside() {
  local name=${1//\//:}
  if [[ -e $1 || -L $1 ]]; then as_root cp -a -- "$1" "$keep/$name"; else as_root touch -- "$keep/$name.absent"; fi
}

# stock_default: is the enabled default site the distribution's own, unchanged since it was installed?
stock_default() {
  local file=/etc/nginx/sites-available/default sum
  [[ -L /etc/nginx/sites-enabled/default && $(readlink -f /etc/nginx/sites-enabled/default) == "$file" ]] && have dpkg-query || return 1
  sum=$(dpkg-query -W -f='${Conffiles}\n' nginx-common nginx 2>/dev/null | awk -v f="$file" '$1 == f { print $2; exit }')
  [[ -n $sum && $sum == "$(md5sum <"$file" | cut -d' ' -f1)" ]]
}

main "$@" </dev/null
