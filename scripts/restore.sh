#!/usr/bin/env bash
# Brings back the nginx files that site.sh replaced, and has nginx load them.
#
# Values: app, path, lock_token, release
# Prints: restored (yes, already)

main() {
  local keep=/var/lib/deploy-action/$app/nginx/$release
  own_lock
  if [[ ! -d $keep ]]; then
    result restored already
    return
  fi
  put_back "$keep"
  nginx_test >&2
  nginx_reload >&2
  result restored yes
}

main "$@" </dev/null
