#!/usr/bin/env python3
"""Makes several hosts of this one: targets.py N. Each has files, processes and a network of its own, and none
of the outside: its sshd answers at 127.0.1.N, port 2222, where this host's own can be jumped through. Prints ready
once all answer, and goes on until it is killed."""

import os
import selectors
import signal
import socket
import subprocess
import sys

# What a deployment writes to, and what nginx does.
BOOT = r"""
set -euo pipefail
d=/srv/targets/$1
for dir in /etc /home/ubuntu /var/lib/deploy-action /var/lib/nginx /var/log /run /tmp; do
  mkdir -p "$d$dir" "$dir"
  cp -a "$dir/." "$d$dir"
  mount --bind "$d$dir" "$dir"
done
mount -t proc proc /proc
printf '%032d\n' "$1" >/etc/machine-id
rm -f /run/nginx.pid
ip link set lo up
nginx
printf 'up\n'
exec >/dev/null
trap 'exit 0' TERM
while :; do sleep infinity & wait "$!" || :; done
"""

SSHD = ["/usr/sbin/sshd", "-i"]


def boot(number):
    """Returns the process, as it is known outside, that the host's first is."""
    made = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--net", "--fork", "--propagation", "private", "bash", "-c", BOOT, "boot", str(number)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )
    if made.stdout.readline() != "up\n":
        sys.exit(f"target {number} does not come up")
    with open(f"/proc/{made.pid}/task/{made.pid}/children", encoding="ascii") as children:
        return int(children.read().split()[0])


def serve(connection, first):
    """Has a host's sshd take a connection."""
    if os.fork():
        return
    os.setsid()
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    os.execvp("nsenter", ["nsenter", "-t", str(first), "-m", "-p", "-n", "--", *SSHD])


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    waiting = selectors.DefaultSelector()
    for number in range(1, int(sys.argv[1]) + 1):
        first = boot(number)
        listener = socket.create_server((f"127.0.1.{number}", 2222), backlog=64)
        waiting.register(listener, selectors.EVENT_READ, first)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select(timeout=1):
            connection, _ = key.fileobj.accept()
            with connection:
                serve(connection, key.data)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


main()
