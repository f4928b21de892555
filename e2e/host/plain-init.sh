#!/usr/bin/env bash
# Process 1 of a test host without systemd: starts sshd and nginx, reaps orphans, ends on SIGTERM.
set -euo pipefail

main() {
  trap 'exit 0' TERM INT
  ssh-keygen -A
  mkdir -p /run/sshd
  /usr/sbin/sshd
  /usr/sbin/nginx
  while true; do
    sleep infinity &
    wait "$!" || true
  done
}

main "$@"
