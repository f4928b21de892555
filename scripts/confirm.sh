#!/usr/bin/env bash
# Asks the release that is active, directly and through nginx, whether it may stay as it is. Changes
# nothing.
#
# Values: app, path, port, health_path, health_status, health_body, health_host, verify_host
# Prints: tries
# Exits:  EX_UNHEALTHY when neither of several tries got the right answer both ways
#
# Unlike a release on probation, one that has served for long is not condemned by a single answer
# that was wrong.

main() {
  local end tries=0 owner pid start said='' via=''
  now_ms
  end=$((ms + 3000))
  while :; do
    tries=$((tries + 1))
    if healthy; then break; fi
    if ((tries >= 3)) && past "$end"; then
      app_log "$port" 0
      die "$EX_UNHEALTHY" "$said; wanted $(wanted) ($tries tries)"
    fi
    pause 0.5
  done
  result tries "$tries"
}

healthy() {
  listener "$port"
  if [[ $owner != ours ]]; then
    said="nothing of this release listens on port $port"
    return 1
  fi
  if ! probe "http://127.0.0.1:$port$health_path" "$health_host"; then
    said="GET $health_path on port $port: $said"
    return 1
  fi
  if ! through_nginx || [[ $via != "127.0.0.1:$port" ]]; then
    said="GET $health_path through nginx: $(reply)"
    return 1
  fi
}

main "$@" </dev/null
