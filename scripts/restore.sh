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
  as_root nginx -t </dev/null >&2
  as_root nginx -s reload </dev/null >&2
  result restored yes
}

main "$@" </dev/null
