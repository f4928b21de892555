#!/usr/bin/env bash
# Holds a run at a place of its own: every bash that runs a verb reads this first (BASH_ENV), and a
# hook may call it by the hook's name.
#
# /run/lab/armed names the place: a verb or hook, `before` (it is its turn, and nothing of it is done)
# or `inside` (it is about to say its first result), and how many of that name go by first. Who is held
# writes its pid to /run/lab/held and waits for a line in /run/lab/go. Its names begin with lab_,
# since what follows in the same shell is the verb.

lab_hold() {
  trap - DEBUG
  set +T
  rm -f /run/lab/armed
  printf '%s\n' "$$" >/run/lab/held.new
  mv -f /run/lab/held.new /run/lab/held
  read -r _ <>/run/lab/go
}

lab_place() {
  local verb when skip
  read -r verb when skip </run/lab/armed
  if [[ $verb != "$1" ]]; then return; fi
  if ((skip > 0)); then
    printf '%s %s %s\n' "$verb" "$when" "$((skip - 1))" >/run/lab/armed
  elif [[ $0 == */hold.sh ]]; then
    lab_hold
  elif [[ $when == before ]]; then
    # What stands behind the wait for its turn, see the part "begin" in scripts/verb.go.
    trap 'if [[ $BASH_COMMAND == "trap "*" EXIT" && $BASHPID == "$$" ]]; then lab_hold; fi' DEBUG
  else
    set -T
    # What was found out ahead is told at once, see tell_ahead in scripts/lib/turn.sh.
    trap 'case $BASH_COMMAND in
      "result "* | "printf "*"{found[@]}"*) if [[ $BASHPID == "$$" ]]; then lab_hold; fi ;;
    esac' DEBUG
  fi
}

# The loop that hears the runner starts what does read this.
if [[ $- == *s* && $1 != talk || $0 == */hold.sh ]]; then
  unset -v BASH_ENV # what a verb starts is no verb
  if [[ -r /run/lab/armed ]]; then lab_place "$1"; fi
fi
