#!/usr/bin/env bash
# What of an application is on the host, proved by the first line of a file or the mark of a folder.
#
# Values: app, path, sure, shared_too, nginx_include

# find_what_goes: sets files (nginx's, the include last: the site names it), units, others (of
# root's), mine (in the deploy root, what is needed longest last) and kept.
find_what_goes() {
  local one owner conf built=''
  built_in
  nginx_conf
  while IFS= read -r one; do
    if [[ $one == "$nginx_include" ]]; then continue; fi
    if [[ $one == */"$app".@(conf|upstreams.conf|late.conf) ]] && written_here "$one" " for ${app}[.;]" \
      || written_here "$one" " for $app;"; then
      files+=("$one")
    elif written_here "$one" " for $app\."; then
      kept+=("$one, a copy of this action's file by somebody else")
    fi
  done < <(grep -rlsE "^# Written by deploy-action for ${app}[.;]" /etc/nginx "${conf%/*}" | sort -u)
  if written_here "$nginx_include" " for ${app}[.;]"; then files+=("$nginx_include"); fi
  for one in "/etc/systemd/system/$app.job."*.timer; do
    if written_here "$one"; then units+=("$one"); fi
  done
  for one in "$app.job@.service" "$app@.socket" "$app@.service" "$app.process@.service"; do
    if written_here "/etc/systemd/system/$one"; then units+=("/etc/systemd/system/$one"); fi
    if [[ -d /etc/systemd/system/$one.d ]]; then kept+=("/etc/systemd/system/$one.d, which is not this action's"); fi
  done
  if written_here "$rotation_file"; then others+=("$rotation_file"); fi
  if written_here "$rules_file" " for $app:"; then others+=("$rules_file"); fi
  if [[ -d /etc/nginx/$app.d ]]; then
    if [[ -z $(find "/etc/nginx/$app.d" -mindepth 1 -print -quit) ]]; then
      others+=("/etc/nginx/$app.d")
    else
      kept+=("/etc/nginx/$app.d, which has files of yours")
    fi
  fi
  # A certificate that certbot has got for the site, and would go on renewing by what is gone then.
  one=/etc/letsencrypt/renewal/deploy-action-$app.conf
  if [[ -d ${one%/*} ]] && as_root_or_not grep -qs "/var/lib/deploy-action/$app/" "$one" </dev/null; then
    others+=("/etc/letsencrypt/live/deploy-action-$app" "/etc/letsencrypt/archive/deploy-action-$app" "$one")
  fi
  if [[ -d ${flags%/active} ]]; then others+=("${flags%/active}"); fi
  root_owner
  if [[ $owner != "$app" ]]; then return; fi
  for one in slots .transfer .lock.run releases venvs assets repo.git logs deploys.jsonl .recipe-key; do
    if [[ -e $path/$one ]]; then mine+=("$path/$one"); fi
  done
  if [[ ! -e $path/shared ]]; then
    mine+=("$path/.app")
  elif [[ $shared_too == yes ]]; then
    mine+=("$path/shared" "$path/.app")
  elif [[ -n $(find "$path/shared" -mindepth 1 -print -quit 2>/dev/null) ]]; then
    kept+=("$(described "$path/shared")")
  fi
}

# written_here FILE [WORDS]: is its first line this action's?
written_here() {
  local line
  [[ -e $1 || ! -x ${1%/*} ]] && line=$(as_root_or_not head -n 1 -- "$1" 2>/dev/null </dev/null) || return 1
  [[ $line =~ ^'# Written by deploy-action'${2-} ]]
}

# described PATH: with how much a folder of ours holds, and what runs of a service.
described() {
  local words=$1 runs
  case $1 in
    "$path"/releases) words+=": $(find "$1" -mindepth 1 -maxdepth 1 -type d ! -name '*.partial' | wc -l) of them" ;;
    *@.service | *@.socket)
      runs=$(systemctl list-units --plain --no-legend "$(basename -- "${1/@/@*}")" 2>/dev/null </dev/null)
      words+=$(awk 'NF { names = names (NR > 1 ? ", " : ": ends ") $1 } END { print names }' <<<"$runs")
      ;;
  esac
  if [[ $1 == "$path"/* && -d $1 ]]; then
    words+=", $(du -skx -- "$1" 2>/dev/null | awk '{ printf "%d MB", ($1 + 1023) / 1024 }')"
  fi
  tr -cd '[:print:]' <<<"$words"
}

# judge_removal: ends the script where it can't be done, before anything is touched.
judge_removal() {
  local folder
  folder=$(sed -n 's,^WorkingDirectory=\(/.*\)/slots/%i$,\1,p' "/etc/systemd/system/$app@.service" 2>/dev/null) || :
  [[ -z $folder || $folder == "$path" ]] || die "$EX_CHECK" "$app works in $folder on this host, and not in $path: set \
the input path to \"$folder\""
  judge_includes
  if [[ $sure == no ]]; then return; fi
  ((${#files[@]} + ${#units[@]} + ${#others[@]} == 0)) || free_root \
    || die "$EX_CHECK" "$(id -un) has the rights for routine deployments only, and what is root's has to go, too: run \
this once while $(id -un) can run all commands as root"
  if [[ -e $path/.lock.run ]] && ! flock -n "$path/.lock.run" true; then
    die "$EX_RUN_BUSY" "a command of operation run still runs in $app (since \
$(sed 's/.*, since //' "$path/.lock.run" | tr -cd '[:print:]'))"
  fi
}

# judge_includes: a server block of the user's that includes one of the files has nowhere to send
# requests without it, and where they are to go only its owner knows.
judge_includes() {
  local rows kind file line ours level pattern _ one
  look_at_nginx
  while IFS=$'\t' read -r kind file line ours level pattern _; do
    if [[ $kind != include || $ours == yes || $level != http/server* ]]; then continue; fi
    for one in "${files[@]}"; do
      # shellcheck disable=SC2053 # a pattern it is
      [[ $one != $pattern ]] || die "$EX_CHECK" "$file:$line includes $one, by which that server block sends requests \
to $app: write there in its place where they are to go from now on, such as set \$service_url http://127.0.0.1:8080; \
or take the block out, then sudo nginx -t && sudo nginx -s reload, and run this again"
    done
  done <<<"$rows"
}

# loaded_still: does nginx itself answer with its site?
loaded_still() {
  local chosen loaded terms closed front as way somebody
  routed
  [[ -n $chosen ]]
}

# take_site: as the deployment put it there, the other way round: nginx says what it thinks of it,
# and then that it has taken it up.
take_site() {
  local keep=${flags%/active}/nginx/removed written=${flags%/active}/site.conf words='' end one link
  local welcome=/etc/nginx/sites-enabled/default file
  as_root install -d -m 0755 -- "${flags%/active}" "${keep%/*}" "$keep"
  for one in "${files[@]}"; do
    if [[ $one == */$app.conf && -e $written ]] && ! cmp -s -- "$one" "$written" \
      && ! cmp -s -- "$one" "$written.next" && ! cmp -s -- "$one" "$written.back"; then
      as_root install -d -- "/etc/nginx/$app.d"
      as_root cp -a -- "$one" "/etc/nginx/$app.d/site.edited"
      say "$one was edited since this action wrote it: as it was, it is kept in /etc/nginx/$app.d/site.edited"
    fi
    as_root cp -a -- "$one" "$keep/${one//\//:}"
  done
  for one in "${files[@]}"; do as_root rm -f -- "$one"; done
  # The distribution's welcome page, if it gave up port 80 to this site.
  for link in "${flags%/active}"/nginx/*/:etc:nginx:sites-enabled:default; do
    if [[ -L $link && ! -e $welcome && ! -L $welcome ]]; then
      as_root touch -- "$keep/:etc:nginx:sites-enabled:default.absent"
      as_root cp -a -- "$link" "$welcome"
      if nginx_test >/dev/null 2>&1; then
        say "the distribution's welcome page has port 80 again"
      else
        as_root rm -f -- "$welcome"
      fi
    fi
  done
  if ! root_path "${nginx[0]}"; then return; fi # somebody has taken nginx itself away
  if ! words=$(nginx_test 2>&1); then
    put_back "$keep"
    say "$words"
    die "$EX_NGINX" "nginx refuses its configuration without the site of $app; its files are as they were"
  fi
  nginx_reload >&2 || :
  reloaded=yes
  now_ms
  end=$((ms + 10000))
  while loaded_still; do
    if past "$end"; then
      put_back "$keep"
      nginx_reload >&2 || :
      die "$EX_NGINX" "nginx was told to reload, and did not take up that the site of $app is gone: its error log says \
why; its files are as they were"
    fi
    pause 0.05
  done
}
