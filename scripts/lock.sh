#!/usr/bin/env bash
# Takes the deploy lock and holds it for as long as this session lives.
#
# Values: app, path, lock_token, lock_note (who, for people), lock_timeout and beat (seconds),
#         resume (yes: this run had the lock before its connection was lost)
# Prints: machine (names this boot of this machine), at once; locked=yes once it is ours, waited
#         (milliseconds), open (yes, no: others on this host may read the deploy root, since nginx
#         does)
# Exits:  EX_LOCK_BUSY when lock_timeout is over, EX_LOCK_LOST when another run had the lock in
#         between, EX_CHECK when the deploy root can't be made or is somebody else's folder
#
# It is a flock(2): the kernel frees it with the process, so it can't go stale. A heartbeat, one
# line, comes on standard input; end of file (the connection closed) or silence for `beat` seconds
# (it vanished without a word) ends the process and with it the lock, also while it waits for the
# lock or hangs.

# listen: ends this session at once when the run is not heard any more before it is told that it has
# the lock, whatever this process is at.
listen() {
  while beats && [[ -e /proc/$$ ]]; do :; done
  kill -KILL "$$" # first: it starts nothing more
  session "$$" | xargs -r kill -KILL --
}

# beats: the run is heard. bash (5.2) holds a limit against the machine's clock behind each byte, and that
# may be set while one is waited for: a byte that has come is no silence.
beats() {
  local byte=''
  IFS= read -r -N 1 -t "$beat" byte || [[ -n $byte ]]
}

# hush: the listener holds the connection's channel open, so it must not outlive this process.
hush() {
  if [[ -n $listener ]] && kill "$listener" 2>/dev/null; then wait "$listener" 2>/dev/null || :; fi
  listener='' # its number may be somebody else's from now on
}

# make_path: the deploy root.
make_path() {
  if [[ -d $path ]]; then return; fi
  { mkdir -p -- "${path%/*}" && mkdir -m 0700 -- "$path"; } 2>/dev/null \
    || as_root install -d -m 0700 -o "$(id -un)" -g "$(id -gn)" -- "$path" \
    || die "$EX_CHECK" "can't create the deploy root $path"
}

main() {
  local begin last leader open boot machine='' where number group
  local -A modes=()
  now_ms
  begin=$ms
  read -r boot </proc/sys/kernel/random/boot_id
  # Clones of an image may have one id, and containers on one kernel one boot.
  if [[ -r /etc/machine-id ]]; then read -r machine </etc/machine-id || :; fi
  result machine "$boot$machine"
  listen <&0 >/dev/null 2>&1 & # before the lock's file is open: it has no part in the lock
  listener=$!
  trap 'status=$? || :; hush; blame "$status"' EXIT # see leave
  fit_root
  make_path
  if [[ ! -w $path ]]; then
    if read_only "$path"; then exit 1; fi # blame_disk has the words
    die "$EX_CHECK" "the deploy root $path is not writable for $me"
  fi
  take_lock
  look_at_root
  close_root
  read -r last <"$path/.lock" || :
  if [[ $resume == yes && ${last%-*} != "${lock_token%-*}" ]]; then
    die "$EX_LOCK_LOST" "another deployment had the lock while the connection was lost; what it did is not touched"
  fi
  printf '%s\n' "$lock_token" >"$path/.lock" # who had it last
  name_holder
  end_cut_off # before anybody looks at what it leaves, or takes it away
  if [[ $resume == no ]]; then
    make_steps
    recipe_keys
    { : >"$path/.lock.steps/.$lock_token"; } 2>/dev/null || : # for what was sent along with this
  fi
  result open "$open"
  now_ms
  result waited "$((ms - begin))"
  hush # before the run hears of it: who hangs up then has the lock end in its own way
  result locked yes
  if [[ $resume == no ]]; then drop_steps; fi
  while beats; do :; done
  rm -f -- "$path/.lock.holder"
  if [[ -e $path/.lock.last ]]; then # the application is removed; who waits for this lock makes another one
    rm -rf -- "$path"/.lock.*
    rm -f -- "$path/.lock"
    rmdir -- "$path" 2>/dev/null || :
  fi
  exit 0 # bash would wait for more to run, with the lock
}

main "$@"
