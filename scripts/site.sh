#!/usr/bin/env bash
# Puts the nginx site (or, for a user's own server block, the upstream groups alone) and the include in place, tests them, and has nginx load
# them; only when something differs.
#
# Values: app, path, lock_token, release, nginx_include, site_file, site and include (their texts), site_loaded (yes, no), default_site
#         (yes: the site answers for every name)
# Prints: reloaded (yes, no), edited (yes: the site is not as this action left it, and is left alone)
# Exits:  EX_NGINX when nginx refuses; everything is then as it was
#
# What is replaced is kept in /var/lib/deploy-action/APP/nginx/RELEASE, from where restore.sh brings it back. An include of the user's is kept
# beside its place, too.

main() {
  local keep=/var/lib/deploy-action/$app/nginx/$release words edited=no
  local written=/var/lib/deploy-action/$app/site.conf # as this action wrote it last
  own_lock
  if [[ -e $site_file && -e $written ]] && ! cmp -s -- "$site_file" "$written"; then
    same "$written" "$site" || die "$EX_NGINX" "$site_file was edited since this action wrote it, and the inputs now ask for another one: move the edits to a file of their own and delete $written"
    site=$(<"$site_file")
    edited=yes
  fi
  result edited "$edited"
  if [[ $site_loaded == yes ]] && same "$site_file" "$site" && same "$nginx_include" "$include"; then
    result reloaded no
    return
  fi
  if [[ -e $site_file && ! -e $written ]] && ! grep -q '^# Written by deploy-action' "$site_file"; then
    die "$EX_NGINX" "$site_file exists and was not written by this action; rename it, or choose another name with the input app"
  fi
  as_root install -d -m 0755 "${keep%/*}"
  as_root rm -rf -- "$keep"
  as_root install -d -m 0755 "$keep"
  set_aside "$site_file"
  set_aside "$written"
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
  if [[ $edited == no ]]; then write_root "$written" 0644 <<<"$site"; fi
  if [[ -e $keep/:etc:nginx:sites-enabled:default ]]; then
    say "the distribution's welcome page gives up port 80 (its link is kept in $keep)"
    as_root rm -f /etc/nginx/sites-enabled/default
  fi
  if ! words=$(as_root nginx -t 2>&1 </dev/null); then
    put_back "$keep"
    say "$words"
    die "$EX_NGINX" "nginx refuses the configuration with this site in it; the files are as they were"
  fi
  as_root nginx -s reload </dev/null >&2
  result reloaded yes
}

# same FILE TEXT: is that its text, but for the line that names the slot nginx falls back to?
same() {
  [[ -e $1 ]] && diff -q <(grep -v '^set ' "$1") <(grep -v '^set ' <<<"$2") >/dev/null
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
