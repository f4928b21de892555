# shellcheck shell=bash
# Starts a container engine when none answers, and stops it again. Sourced. Needs no systemd.
# shellcheck disable=SC2154 # what common.sh sets

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

ensure_engine() {
  local why
  if engine_answers; then
    # One that was started for a command goes on running, when it is asked for without one.
    [[ -n ${STOP_ENGINE_AFTERWARDS-} ]] || rm -f -- "$state/stop-engine"
    return
  fi
  why=$(docker version 2>&1 >/dev/null || true)
  case $why in
    *'permission denied'*) die "$why" 'Run this as root, or join the group docker and log in again.' ;;
  esac
  [[ -z ${DOCKER_HOST-} ]] || die "$why" "No engine answers at DOCKER_HOST=$DOCKER_HOST."
  PATH=$PATH:/usr/sbin:/sbin command -v dockerd >/dev/null \
    || die "$why" 'Start your container engine, then run this again.'
  forget dockerd "$state/dockerd.pid"
  forget containerd /var/run/docker/containerd/containerd.pid
  say "starting a container engine (log: $state/dockerd.log) ..."
  # A session of its own keeps a Ctrl-C at the terminal away from it: it is stopped last, in order.
  # The locks of prepare.sh (8) and run.sh (9) are not for it to hold.
  as_root setsid --fork env PATH="$PATH:/usr/sbin:/sbin" dockerd --pidfile "$state/dockerd.pid" \
    </dev/null >"$state/dockerd.log" 2>&1 8>&- 9>&-
  if ! wait_for 60 engine_answers; then
    tail -n 20 -- "$state/dockerd.log" >&2
    die 'The container engine does not answer. Start one yourself, then run this again.'
  fi
  [[ -z ${STOP_ENGINE_AFTERWARDS-} ]] || : >"$state/stop-engine"
}

# forget PROGRAM PID-FILE: one that was killed leaves the file behind, and when the number has
# become another process's it would not start.
forget() {
  [[ -e $2 ]] || return 0
  [[ $(cat "/proc/$(as_root cat -- "$2")/comm" 2>/dev/null) == "$1" ]] || as_root rm -f -- "$2"
}

# stop_engine: stops the engine that was started from here, if any, and waits for its end.
stop_engine() {
  local pid
  [[ -e $state/dockerd.pid ]] || return 0
  pid=$(<"$state/dockerd.pid")
  # The number alone may by now be another process.
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) != dockerd ]] || {
    as_root kill -TERM "$pid"
    wait_for 60 gone "$pid" || die "the container engine (process $pid) does not stop"
  }
  rm -f -- "$state/dockerd.pid" "$state/stop-engine"
}

gone() { [[ ! -e /proc/$1 ]]; }

# small_tables: the kernel sizes a host's table of connections by this machine's memory, and whoever
# reads /proc/net/tcp goes through all of it: 4 ms where it takes 0.2 on a host of 1 GB, whose size
# they get.
small_tables() {
  local file=/proc/sys/net/ipv4/tcp_child_ehash_entries
  [[ $(cat -- "$file" 2>/dev/null) == 0 ]] || return 0 # kernels before 6.1 have none; or somebody has chosen
  if { ((EUID == 0)) || command -v sudo >/dev/null; } && as_root tee "$file" <<<8192 >/dev/null 2>&1; then
    say "net.ipv4.tcp_child_ehash_entries: 8192 instead of 0, until the next boot"
  fi
}

# raise_inotify: hosts and root's processes share one number of inotify instances, and a host needs
# up to 20.
raise_inotify() {
  local file=/proc/sys/fs/inotify/max_user_instances want=8192 have
  have=$(cat -- "$file" 2>/dev/null) || return 0 # the engine's machine is another one
  ((have < want)) || return 0
  if { ((EUID == 0)) || command -v sudo >/dev/null; } && as_root tee "$file" <<<"$want" >/dev/null 2>&1; then
    say "fs.inotify.max_user_instances: $want instead of $have, until the next boot"
  else
    say "fs.inotify.max_user_instances is $have and cannot be raised from here: $(((have - 8) / 20)) hosts at once" \
      "are what it is enough for, and the tests take longer." \
      "To raise it: sudo sysctl fs.inotify.max_user_instances=$want"
  fi
}
