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
  if [[ $whose != "$turn" ]]; then
    if [[ -n ${ahead_fd-} ]]; then # what looks around leaves with who wanted to know
      trap '' TERM
      kill -TERM -- "-$$" 2>/dev/null || :
    fi
    exit "$EX_NOT_BEGUN"
  fi
  exec {turn_fd}<&-
}

# look_ahead COMMAND...: begins to find out the results of a command that changes nothing, while another verb
# that changes nothing has its turn. The last line that comes of it says when they were all found.
look_ahead() {
  if [[ -z ${turn_fd-} || -z $tag ]] || ! locked_soon; then return 0; fi
  exec {ahead_fd}< <(
    "$@" 2>&1 </dev/null
    now_ms
    printf '%s\n' "$ms"
  )
}

# tell_ahead COMMAND...: those results. Where there are none, or the command had more to say or has failed, or
# where they are not from just now, it is run.
tell_ahead() {
  local found=() line last=0
  if [[ -n ${ahead_fd-} ]]; then
    mapfile -t found <&"$ahead_fd"
    exec {ahead_fd}<&-
    line=${found[*]: -1}
    if [[ $line =~ ^[0-9]+$ ]]; then
      last=$line
      unset -v 'found[-1]'
    fi
  fi
  for line in "${found[@]}"; do
    if [[ $line != "$tag "* ]]; then last=0; fi
  done
  if past "$((last + 2000))"; then "$@"; else printf '%s\n' "${found[@]}"; fi
}
