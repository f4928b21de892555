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
