#!/usr/bin/env bash
# Whether the host's nginx, as others have set it up, can have the site, and which server block of
# theirs answers in its place.
#
# Values: app, server_name, verify_host, nginx_include, https (yes: the site is to be had by HTTPS)

# judge_nginx: adds to faults what keeps nginx from having the site or the include, and to notes
# what their owner should know, each with its place. Sets rows, and site_folder, where nginx reads a
# site from, one_socket (the ports to which IPv4 comes by a socket of IPv6), and hostless (yes: a block
# that includes the file has a location that says no Host).
judge_nginx() {
  local address six=() came found port asked=() choice=''
  site_folder=/etc/nginx/conf.d one_socket='' hostless=no rows='' tested=''
  ask_ahead
  found nginx || return 0
  if [[ -n $nginx_ignored ]]; then
    faults+=("nginx was started with $nginx_ignored, and others than root may write there, or it is no whole path: \
that can't be given to a command that root runs; start nginx with a file that is root's, in folders that are")
  fi
  know_nginx
  test_nginx
  look_at_nginx
  judge_modules
  [[ $'\n'$rows == *$'\nhttp\t'* ]] || return 0
  find_folder
  for port in 80 443; do
    if [[ $rows =~ "[::]:$port"(/[a-z_]+)*/ipv6only=off && " $rows " != *[[:blank:]]"*:$port"[/[:space:]]* ]]; then
      one_socket+="${one_socket:+ }$port"
    fi
  done
  if [[ -e /proc/net/if_inet6 ]]; then six=('[::]:80'); fi
  levels
  came_to
  if [[ -n $including ]]; then
    for address in $including; do
      if [[ $'\n'$rows$'\n' == *$'\nhostless\t'"$address"$'\n'* ]]; then hostless=yes; fi
    done
    for address in '*:80' $came; do theirs_answers "$address"; done
    return
  fi
  judge_names
  with_ours
  for address in '*:80' "${six[@]}" $came; do
    asked+=("$address")
    if [[ $https == yes ]]; then asked+=("${address%:80}:443"); fi
  done
  choose "${asked[@]}"
  for address in "${asked[@]}"; do ours_answers "$address"; done
  notes_on_others
  if [[ $rows == *$'\tyes\t'*:443[/[:space:]]* ]]; then judge_certificate; fi
}

# judge_modules: adds to faults what nginx was built without and the site needs, as some builds for
# small machines are.
judge_modules() {
  local name without=()
  for name in geo limit_conn limit_req map proxy rewrite upstream_keepalive; do
    if [[ $built == *--without-http_${name}_module* ]]; then without+=("$name"); fi
  done
  if [[ $https == yes && $built == *--prefix=* && $built != *--with-http_ssl_module* ]]; then without+=(ssl); fi
  if ((${#without[@]} > 0)); then
    faults+=("nginx was built without ${without[*]}, which the site needs: on Debian and Ubuntu the packages \
nginx-core and nginx-full have it, nginx-light may not")
  fi
}

# judge_names: adds to faults a name that is too long for the table that nginx makes of names on a
# processor whose cache has lines of 64 bytes: with 18 bytes of its own (ngx_hash.h) one of 46 fits.
# Where the site is loaded with its names it has a table, or needs none.
judge_names() {
  local name size
  for name in $server_name; do
    if ((${#name} <= 46)) || [[ $rows == *$'\tyes\t'*"$name"* ]]; then continue; fi
    size=128
    if ((${#name} > 110)); then size=512; fi
    if ! nginx_texts | grep -s '^[[:blank:]]*server_names_hash_bucket_size[[:blank:]]' >/dev/null; then
      faults+=("nginx can't have a name of ${#name} letters (input server-name) as it is: echo \
'server_names_hash_bucket_size $size;' | sudo tee $site_folder/long-names.conf")
      return
    fi
  done
}

# judge_certificate: adds to notes that the one that the site shows is about to end, as one does that
# is not renewed. Where nothing listens yet there is none.
judge_certificate() {
  local end=''
  have openssl || return 0
  end=$(timeout 5 openssl s_client -connect 127.84.0.1:443 -servername "$verify_host" 2>/dev/null </dev/null \
    | openssl x509 -noout -enddate -checkend 604800 2>/dev/null) || notes_end "$end"
}

notes_end() {
  if [[ $1 =~ ^notAfter=([^$'\n']+) ]]; then
    notes+=("the certificate of the site ends ${BASH_REMATCH[1]}, within a week: where certbot got it, see why it does \
not renew (sudo certbot renew --dry-run); else give a new one with tls-certificate and tls-key")
  fi
}

# find_folder: where nginx.conf reads sites from. That of a site that is there, the usual one, or
# the first that would take its name.
find_folder() {
  local kind file line level pattern folder folders=() at='' like
  rows_like $'@(http|include\t*\thttp)\t*'
  while IFS=$'\t' read -r kind file line _ level pattern _; do
    if [[ $kind == http ]]; then at=${at:-$file:$line}; fi
    if [[ $kind != include || $level != http ]]; then continue; fi
    folder=${pattern%/*}
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $folder != *[*?[]* && $app.conf == ${pattern##*/} && $app.upstreams.conf == ${pattern##*/} ]]; then
      folders+=("$folder")
    fi
  done <<<"$like"
  for folder in "${folders[@]}"; do
    for file in "$folder/$app.conf" "$folder/$app.upstreams.conf"; do
      if [[ -r $file && $'\n'$(<"$file") == *$'\n# Written by deploy-action for '"$app"[.\;]* ]]; then
        site_folder=$folder
        return
      fi
    done
  done
  if ((${#folders[@]} == 0)); then
    faults+=("the http block at $at includes no folder that a site could be put into: add the line: include \
/etc/nginx/conf.d/*.conf;")
  elif [[ " ${folders[*]} " != *" $site_folder "* ]]; then
    site_folder=${folders[0]}
  fi
}

# with_ours: adds the site to rows, where it is not there yet; behind all others, since it must not
# depend on who comes first.
with_ours() {
  with_our 80
  if [[ $https == yes ]]; then with_our 443; fi
}

with_our() {
  local default='' listens='' like
  rows_like $'server\t*\tyes\t*:'"$1@(|[/[:space:]]*)"
  if [[ -n $like ]]; then return; fi
  [[ $server_name != _ ]] || default=/default
  [[ " $one_socket " == *" $1 "* ]] || listens="*:$1$default"
  if ((${#six[@]} > 0)); then listens+=" [::]:$1$default"; fi
  rows+=$'\nserver\t'$site_folder/$app.conf$'\t1\tyes\t'${listens# }$'\t'$server_name
}

# choose ADDRESS...: sets choice to what ours_answers asks of them.
choose() {
  local address name pairs=''
  for address in "$@"; do
    for name in ${server_name/#_/nobody.invalid}; do pairs+=$address$'\t'${name/#\*./www.}$'\n'; done
  done
  choice=$(choices "${pairs%$'\n'}")
}

# ours_answers ADDRESS: does the site get what comes there, with its names? Without a name it gets
# what nobody else has one for.
ours_answers() {
  local name port=${1##*:}
  for name in ${server_name/#_/nobody.invalid}; do
    chosen "$1" "${name/#\*./www.}"
    if [[ ${found[1]-yes} == yes || ${found[2]} == regex || "${faults[*]-}" == *"${found[0]} "* ]] \
      || gives_up "${found[0]}"; then
      continue
    fi
    if [[ $1 != \** && " ${found[3]} " == *" $1"[/\ ]* ]]; then
      faults+=("$(block "${found[@]}") has the address ${1%:*} of this host to itself, so whoever comes to it is \
answered there: let it listen on port $port of all addresses (listen $port), by which nginx goes by the names, or on \
another port")
      return
    elif [[ ${found[2]} == default ]]; then
      faults+=("$(block "${found[@]}") is the default_server of port $port already, and a site without names must be \
that: set the input server-name to the names of this site, or take default_server out there")
    else
      faults+=("$(block "${found[@]}") answers for the name $name already: take the name out there, or give this site \
another one with the input server-name")
    fi
  done
}

# theirs_answers ADDRESS: does one of the blocks that include the file get what comes there, on port
# 80 or, where that only redirects, on 443?
theirs_answers() {
  local port first=''
  for port in 80 443; do
    chosen "${1%:*}:$port" "$verify_host"
    [[ -n ${found[0]-} ]] || continue
    if [[ " $including" == *" ${found[0]} "* || ${found[2]} == regex ]]; then return; fi
    first=${first:-$(block "${found[@]}")}
  done
  faults+=("${first:-no server block} answers for $verify_host on ${1/#\*/port}, and not ${including% }, which \
includes $nginx_include: set the input server-name to a name of the latter")
}

# notes_on_others: what does no harm that could be proved, and what the owner should know all the
# same.
notes_on_others() {
  local kind place line ours listens names one port like
  rows_like $'server\t*\tno\t*'
  while IFS=$'\t' read -r kind place line ours listens names; do
    [[ $kind == server && $ours == no ]] || continue
    for one in $listens; do
      port=${one##*:} port=${port%%/*}
      if [[ $port != 80 && $port$https != 443yes ]]; then continue; fi
      case $one in
        '*:'*/proxy_protocol* | '[::]:'*/proxy_protocol*)
          notes+=("$place:$line says proxy_protocol for port $port, and nginx takes that for all sites there: visitors \
get through a balancer that speaks it, and directly not at all")
          ;;
        '*:'* | '[::]:'* | 127.* | '[::1]'* | "${came%80}"*) ;;
        *) notes+=("$place:$line has the address ${one%:*} to itself: whoever comes to that address of this host is \
answered there, and not by $app") ;;
      esac
    done
  done <<<"$like"
}

# test_nginx: has nginx test its configuration, where that is known to be allowed, while all else is
# looked at. Sets tested, which judge_running reads.
test_nginx() {
  if ((EUID == 0)) || [[ ${standing-} == yes ]]; then exec {tested}< <(nginx_test 2>&1 && printf sound); fi
}

# judge_running: adds to faults that nginx does not take its present configuration, or does not run.
# One whose installation was cut off has no whole configuration before that has been finished.
judge_running() {
  local out=''
  if [[ ! -v nginx_halfway ]]; then find_halfway; fi
  if [[ -n $nginx_halfway && -n $coming ]]; then return; fi
  if [[ -z $tested || -n $brought ]]; then exec {tested}< <(nginx_test 2>&1 && printf sound); fi # what is there now
  IFS= read -rd '' -u "$tested" out || :
  out=${out%$'\n'}
  if [[ $out == *sound ]]; then
    ok "nginx configuration"
  elif [[ -n $nginx_halfway ]]; then
    faults+=("nginx is not wholly installed, by an apt that was cut off or still runs: $nginx_halfway; finish it \
on the host: sudo dpkg --configure -a && sudo apt-get install nginx${refusal:+ (apt says: $refusal)}")
    return
  else
    faults+=("nginx refuses its present configuration, so it could not be changed safely: \
$(tail -n 2 <<<"$out" | tr '\n' ' ')")
  fi
  if nginx_runs; then ok "nginx runs"; elif have pgrep && all_seen; then faults+=("nginx does not run: sudo systemctl \
enable --now nginx"); fi
}

# judge_port: adds to faults who else has port 80, or 443 where it is needed: nginx could not get it,
# and it is not started, nor installed, against that program.
judge_port() {
  local need pid program unit how bound=()
  for need in 80 ${https/yes/443}; do
    if [[ $need == no ]]; then continue; fi
    sockets "$need" 0A
    ((${#bound[@]} > 0)) || continue
    # It is nginx's, and to know for sure would take root.
    if nginx_runs && [[ $rows == *:"$need"[/[:space:]]* ]]; then continue; fi
    for pid in $(holders "$need"); do
      read -r program <"/proc/$pid/comm" || continue
      if [[ $program == nginx ]]; then break; fi
      unit=$(service_of "$pid")
      how=${unit:+, with sudo systemctl disable --now $unit}
      if [[ $unit == docker.service ]]; then
        how=", with sudo docker rm -f and the name that sudo docker ps --filter publish=$need shows"
      fi
      faults+=("port $need, which nginx needs, is another program's ($(who_has "$need")): end it$how, or have it \
listen elsewhere")
      break
    done 2>/dev/null
  done
}

# tell_site: where the site goes and what it listens on, what certificate is there, which one the site
# has, as its file says, and whether the rules for sudo stand, as far as that was asked (rules: yes, no).
tell_site() {
  local line there shown=''
  result site_folder "$site_folder"
  result one_socket "$one_socket"
  result hostless "$hostless"
  result rules "${standing:-no}"
  first_line "/var/lib/deploy-action/$app/certificate" || :
  line=${line:0:64}
  result certificate "${line//[!a-z0-9-]/}"
  content "$site_folder/$app.conf"
  there=$'\n'$there
  if [[ $there == *$'\n# Written by deploy-action'* ]]; then
    there=${there#*$'\n# Written by deploy-action'}
    if [[ $there == *$'\n    ssl_certificate '* ]]; then
      shown=${there#*$'\n    ssl_certificate '} shown="    ssl_certificate ${shown%%$'\n'*}"
    fi
  fi
  if [[ $shown =~ ^\ {4}ssl_certificate\ ([A-Za-z0-9/_.-]+)\;$ ]]; then shown=${BASH_REMATCH[1]}; fi
  shown=${shown%.pem}
  result site_certificate "${shown%/fullchain}"
}

# gives_up PLACE: is that the distribution's own welcome page?
gives_up() { [[ $1 == /etc/nginx/sites-enabled/default:* ]] && stock_default; }

# stock_default: is it enabled, by whatever link, and unchanged since it was installed? Then it
# gives up port 80 to a site without a name.
stock_default() {
  local file=/etc/nginx/sites-available/default sum
  [[ -L /etc/nginx/sites-enabled/default && $(readlink -f /etc/nginx/sites-enabled/default) == "$file" ]] \
    && have dpkg-query || return 1
  sum=$(dpkg-query -W -f='${Conffiles}\n' nginx-common nginx 2>/dev/null \
    | awk -v f="$file" '$1 == f { print $2; exit }')
  [[ -n $sum && $sum == "$(md5sum <"$file" | cut -d' ' -f1)" ]]
}
