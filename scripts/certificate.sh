#!/usr/bin/env bash
# Sees to the certificate that the site is to have: puts the user's own in place, or has certbot get
# one, which also renews it. The site itself is site.sh's.
#
# Values: app, path, lock_token, certificate_id (names what is wanted), tls_certificate and tls_key
#         (the user's own, as PEM; nothing where certbot is to get one), site_names
#         (blank-separated), mail (of the account), acme_server (the URL of its directory), site_file
# Prints: certificate (new, already)
# Exits:  EX_CHECK when the rights do not suffice, EX_CERTIFICATE when the authority gives none.
#         The site is as it was then.

main() {
  own_lock
  # One that certbot has got may have ended while the site did without, and did not answer for the
  # next one; certbot itself knows.
  if [[ $(cat -- "$certificate_mark" 2>/dev/null) == "$certificate_id" ]] \
    && { [[ -n $tls_certificate ]] || grep -Fqs "/live/$lineage/" "$site_file"; }; then
    result certificate already
    return
  fi
  free_root || die "$EX_CHECK" "$(id -un) has the rights for routine deployments only, and the certificate of the site \
is root's: run operation: setup once with these inputs while $(id -un) can run all commands as root"
  if [[ -n $tls_certificate ]]; then put_own; else get_one; fi
  write_root "$certificate_mark" 0644 <<<"$certificate_id"
  result certificate new
}

main "$@" </dev/null
