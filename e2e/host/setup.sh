#!/usr/bin/env bash
# Turns a fresh Debian tree into a test host: what an EC2 Ubuntu host is, in a container. Runs
# inside the tree (chroot), from build.sh; its neighbours lie beside it. Prints nothing on success.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

here=$(dirname -- "$0")

# The login user of an EC2 Ubuntu image: a home nobody else enters, and sudo without a password.
user() {
  useradd --create-home --shell /bin/bash --groups adm,sudo ubuntu
  chmod 0750 /home/ubuntu
  install -d -m 0700 -o ubuntu -g ubuntu /home/ubuntu/.ssh
  install -m 0440 /dev/stdin /etc/sudoers.d/90-cloud-init-users <<<'ubuntu ALL=(ALL) NOPASSWD:ALL'
}

# Only a venv can provide the web framework: of the packages beside this script, Python's become
# wheels, and the C libraries that these link to are installed.
wheels() {
  local libraries
  python3 "$here/wheels.py" /opt/wheels "$here"/debs/python3-*.deb
  rm -f -- "$here"/debs/python3-*.deb
  libraries=("$here"/debs/*.deb)
  [[ ! -e ${libraries[0]} ]] || dpkg --install "${libraries[@]}" >/dev/null
  printf '%s\n' '[global]' 'no-index = true' 'find-links = /opt/wheels' \
    'disable-pip-version-check = true' >/etc/pip.conf
}

# Each host makes its own host keys at its first boot, and password logins are off: both as on EC2.
# A shorter RSA key than by default takes a fifth of the time, on hundreds of hosts.
sshd() {
  rm -f /etc/ssh/ssh_host_*
  install -D -m 0644 /dev/stdin /etc/systemd/system/ssh.service.d/host-keys.conf <<'UNIT'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'f=/etc/ssh/ssh_host_rsa_key; [ -e $f ] || ssh-keygen -q -t rsa -b 2048 -N "" -f $f'
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
UNIT
  printf '%s\n' 'PasswordAuthentication no' 'KbdInteractiveAuthentication no' \
    >/etc/ssh/sshd_config.d/60-cloudimg-settings.conf
}

# In a container there is no console to log in at, and timers would only add noise to measurements.
systemd() {
  install -D -m 0644 /dev/stdin /etc/systemd/journald.conf.d/volatile.conf <<'CONF'
[Journal]
Storage=volatile
CONF
  systemctl --quiet mask console-getty.service getty.target systemd-firstboot.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-tmpfiles-clean.timer
  install -m 0755 "$here/plain-init.sh" /sbin/plain-init
}

main() {
  user
  wheels
  sshd
  systemd
}

main "$@"
