#!/usr/bin/env bash
# Process 1 of a test host without systemd: starts sshd and nginx, reaps orphans, ends on SIGTERM.
set -euo pipefail

main() {
  trap 'exit 0' TERM INT
  [[ -e /etc/ssh/ssh_host_rsa_key ]] || ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key
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
