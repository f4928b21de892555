#!/usr/bin/env bash
# The certificate of the managed site: where it is, and how it is got.
#
# Values: app, certificate_id, tls_certificate, tls_key, site_names, mail, acme_server, site_file

own_certificates=/var/lib/deploy-action/$app/tls
webroot=/var/lib/deploy-action/$app/acme
lineage=deploy-action-$app
renewal=/etc/letsencrypt/renewal/$lineage.conf # how certbot got it, and from whom

# put_own: under a name of its own, so that the site of before goes on with what it has. The key is
# on no command line, and in no file that others than root can read. What no site names goes.
put_own() {
  local file
  as_root install -d -m 0700 "$own_certificates"
  printf '%s' "$tls_key" | write_root "$own_certificates/$certificate_id.key" 0600
  printf '%s' "$tls_certificate" | write_root "$own_certificates/$certificate_id.pem" 0644
  for file in $(as_root find "$own_certificates" -type f -name '*.*' -printf '%f '); do
    if [[ $file == "$certificate_id".* ]] || grep -Fqs "$own_certificates/${file%%.*}." "$site_file"; then continue; fi
    as_root rm -f -- "$own_certificates/$file"
  done
}

# get_one: from the authority, with the answers to what it asks in a folder that nginx shows on port
# 80. certbot keeps what it was told, renews by it, and runs the hook then. One that is there and
# good for some time is kept, but from another authority.
get_one() {
  local out='' status=0 name say_names=() renew=--keep-until-expiring end
  for name in $site_names; do say_names+=(-d "$name"); done
  if as_root test -e "$renewal" && ! as_root grep -Fqx -- "server = $acme_server" "$renewal"; then
    renew=--force-renewal
  fi
  as_root install -d -m 0755 "$webroot"
  find_nginx
  renewal_hook | write_root "/var/lib/deploy-action/$app/renewed" 0755
  now_ms
  end=$((ms + 60000))
  while :; do
    status=0
    # The hook is for renewals to come: what the site needs now is done here.
    out=$(as_root env DEPLOY_ACTION=yes certbot certonly --non-interactive --agree-tos --email "$mail" \
      --server "$acme_server" --webroot --webroot-path "$webroot" --cert-name "$lineage" "$renew" \
      --renew-with-new-domains --deploy-hook "/var/lib/deploy-action/$app/renewed" \
      "${say_names[@]}" 2>&1 </dev/null) || status=$?
    # Its own timer may have it at work just now.
    if ((status == 0)) || [[ $out != *'Another instance of Certbot'* ]] || past "$end"; then break; fi
    pause 1
  done
  say "$out"
  ((status == 0)) || no_certificate
  # What is renewed under names that the site has loaded, nginx has to read again.
  if grep -Fqs "/live/$lineage/" "$site_file"; then
    nginx_test >&2 || die "$EX_NGINX" "nginx refuses its configuration, so it still has the certificate of before"
    nginx_reload >&2
  fi
  if has_systemd \
    && ! systemctl list-timers --all --plain --no-legend '*certbot*' 2>/dev/null </dev/null | grep -q .; then
    as_root systemctl enable --now --quiet certbot.timer </dev/null >&2 || say "there is no timer of certbot's on this \
host: see that certbot renew runs twice a day"
  fi
}

# renewal_hook: the text of what certbot runs, as root, once it has renewed. nginx tests first, as
# somebody may be at work on its files.
renewal_hook() {
  local -a words=("${nginx[@]}")
  local file
  root_path "${nginx[0]}" || file=${nginx[0]}
  words[0]=$file
  printf '%s\n' '#!/bin/sh' \
    "# Written by deploy-action for $app: certbot runs it when it has renewed the certificate." \
    "[ -z \"\$DEPLOY_ACTION\" ] || exit 0" "${words[*]} -t -q && ${words[*]} -s reload"
}

# no_certificate: ends the script with what the authority says, by the kinds of errors that ACME has
# (RFC 8555, section 6.7). certbot names the kind.
no_certificate() {
  local domain kind detail
  domain=$(said_of Domain) kind=$(said_of Type) detail=$(said_of Detail)
  case $kind in
    dns) die "$EX_CERTIFICATE" "the name $domain does not lead here, says the authority ($detail): give it an A record \
with the address of this host" ;;
    connection) die "$EX_CERTIFICATE" "the authority can't connect to port 80 of $domain ($detail): open port 80 in \
the security group, and see that the name leads to this host" ;;
    unauthorized) die "$EX_CERTIFICATE" "what answers for $domain on port 80 is not this site, says the authority \
($detail): let its A and AAAA records lead to this host, and to no other" ;;
    caa) die "$EX_CERTIFICATE" "a CAA record of $domain lets this authority give no certificate ($detail): add one \
that names it, or take it away" ;;
  esac
  case $out in
    *[rR]ate*[lL]imit* | *'too many'*) die "$EX_CERTIFICATE" "the authority gives no more certificates for now, since \
it has a limit for how many one may ask for: $(last_words)" ;;
  esac
  die "$EX_CERTIFICATE" "certbot got no certificate: $(last_words)"
}

said_of() { sed -n "s/^ *$1: *//p" <<<"$out" | head -n 1; }

# last_words: what certbot says beside where its log is and whom to ask.
last_words() {
  grep -vE '^(Saving debug log|Ask for help|See the logfile|Plugins selected|Please read|$)' <<<"$out" \
    | tail -n 3 | tr '\n' ' '
}
