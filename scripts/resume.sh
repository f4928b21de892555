#!/usr/bin/env bash
# Takes a replacement back, whole or half done: what served before does so again, and answers
# whoever waits.
#
# Values: app, path, lock_token, port (of the socket), from (the port that served before), back (its
#         release), drain_timeout and stop_timeout (seconds), verify_host, health_path,
#         health_status, health_body, health_host, health_timeout (seconds)
# Prints: switched (yes: requests went to the socket; already: none did), started (the port at which it
#         was, where it did not run), serves (that on which it does), and what start.sh and health.sh print
# Exits:  as start.sh and health.sh

main() {
  own_lock
  if [[ -e $flags/$port ]]; then result switched yes; else result switched already; fi
  resume
}

main "$@" </dev/null
