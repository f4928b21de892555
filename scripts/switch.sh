#!/usr/bin/env bash
# Sends new requests to another slot: one rename(2) of the flag that nginx looks at on every
# request. Taking it back is the same verb.
#
# Values: app, path, lock_token, from (a port, or nothing on first use), to (a port, or nothing to
#         take the first use back)
# Prints: switched (yes, already), switched_at (milliseconds since the epoch)

main() {
  own_lock
  if [[ -n $from && -n $to ]]; then stand_by "$from"; fi
  if [[ -z $to ]]; then
    if [[ -e $flags/$from ]]; then result switched yes; else result switched already; fi
    rm -f -- "$flags/$from"
  elif [[ -e $flags/$to ]]; then
    if [[ -n $from ]]; then rm -f -- "$flags/$from"; fi
    result switched already
  elif [[ -n $from && -e $flags/$from ]]; then
    mv -fT -- "$flags/$from" "$flags/$to"
    result switched yes
  else
    put_flag "$to"
    result switched yes
  fi
  epoch_ms
  result switched_at "$ms"
  if [[ -n $to ]]; then stand_down "$to"; fi
}

main "$@" </dev/null
