#!/usr/bin/env bash
# Brings back the nginx files that site.sh replaced, and has nginx load them.
#
# Values: app, path, lock_token, release
# Prints: restored (yes, already)
# Exits:  EX_CHECK when the rights do not suffice, EX_NGINX when nginx refuses; all is then as it was

main() {
  local keep=/var/lib/deploy-action/$app/nginx/$release words
  own_lock
  if [[ ! -d $keep ]]; then
    if noted "$release"; then gone "$trial_note"; fi
    result restored already
    return
  fi
  free_root \
    || die "$EX_CHECK" "$me has the rights for routine deployments only, and the nginx site of before has to be put" \
      "back: run this once while $me can run all commands as root"
  if [[ ! -d $keep.now ]]; then keep_present "$keep"; fi # else that was begun before
  lay_back "$keep"
  if ! words=$(nginx_test 2>&1); then
    put_back "$keep.now"
    say "$words"
    die "$EX_NGINX" "nginx refuses its configuration with the site of before in it; the files are as they were"
  fi
  nginx_reload >&2
  if noted "$release"; then gone "$trial_note"; fi
  as_root rm -rf -- "$keep" "$keep.now"
  result restored yes
}

main "$@" </dev/null
