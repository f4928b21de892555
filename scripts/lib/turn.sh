#!/usr/bin/env bash
# A verb that was sent together with others waits for its turn, when all of its script has been read
# and nothing of it been done.
#
# Values: turn and turn_fd (its number among them, and where it hears that; not set for the first)

await_turn() {
  local whose=''
  if [[ -z ${turn_fd-} ]]; then return; fi
  until read -r -u "$turn_fd" whose; do # a limit that a login has set for all, and nobody can take back, is none here
    (($? > 128)) || break
  done
  if [[ $whose != "$turn" ]]; then exit "$EX_NOT_BEGUN"; fi
  exec {turn_fd}<&-
}

# look_ahead COMMAND...: sets found_ahead to the results of a command that changes nothing, while another
# verb that changes nothing has its turn; to nothing where the command fails or has more to say than results,
# or where the lock is not held soon.
look_ahead() {
  local from line
  found_ahead=() found_until=0
  if [[ -z ${turn_fd-} || -z $tag ]] || ! locked_soon; then return 0; fi
  now_ms
  found_until=$((ms + 2000))
  exec {from}< <("$@" 2>&1 </dev/null)
  mapfile -t found_ahead <&"$from"
  exec {from}<&-
  wait "$!" || found_ahead=()
  for line in "${found_ahead[@]}"; do
    if [[ $line != "$tag "* ]]; then
      found_ahead=()
      break
    fi
  done
}

# tell_ahead COMMAND...: the results that were found out ahead; else, or if that is not from just now, it runs
# the command.
tell_ahead() {
  if ((${#found_ahead[@]} == 0)) || past "$found_until"; then
    "$@"
  else
    printf '%s\n' "${found_ahead[@]}"
  fi
}
