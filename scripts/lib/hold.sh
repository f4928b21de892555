#!/usr/bin/env bash
# Getting the deploy lock.
#
# Values: path, resume, lock_timeout (seconds), begin (milliseconds: since when it is waited for)

# take_lock: a lock is a run's if a process of this user holds it. A version of before had let
# others read the file, and somebody may have it open since: what they hold is nobody's lock, and a
# new file takes its place.
take_lock() {
  local note told=no end
  end=$((begin + lock_timeout * 1000))
  while :; do
    umask 077
    { exec {lock_fd}>>"$path/.lock"; } 2>/dev/null || { # who had it may have removed the application
      umask 022
      make_path
      umask 077
      exec {lock_fd}>>"$path/.lock"
    }
    umask 022
    if flock -n "$lock_fd" || { ((lock_timeout > 0)) && tell && flock -w 1 "$lock_fd"; }; then
      if is_lock "/proc/$$/fd/$lock_fd"; then return; fi
    elif ! is_held && is_lock "/proc/$$/fd/$lock_fd"; then
      say "the deploy lock is held by another user's process, which can be no run: it is made anew"
      rm -f -- "$path/.lock"
    elif past "$end"; then
      holder
      [[ $resume == no ]] || die "$EX_LOCK_LOST" "the deploy lock went to ${note:-another run} while the connection \
was lost"
      die "$EX_LOCK_BUSY" "the deploy lock is still held by ${note:-another run}"
    fi
    exec {lock_fd}>&-
  done
}

# look_at_root: sets modes, by its name, to type and mode (stat(2), st_mode, hexadecimal) of the
# deploy root, which is named by a dot, and of what the lock has in it; number and group to the
# root's group. One process for all: whatever is taken with the lock waits for this.
look_at_root() {
  local mode its_number its_group name
  while IFS=/ read -r mode its_number its_group name; do
    modes[${name##*/}]=$mode
    if [[ $name == */. ]]; then number=$its_number group=$its_group; fi
  done < <(stat -c '%f/%g/%G/%n' -- "$path/." "$path"/.lock{,.step,.leader,.steps} 2>/dev/null)
}

# close_root: what is in the deploy root is nobody else's on the host: releases, logs, the mirror,
# what is shared. A group that an administrator has given it may read; the user's own does where it
# has the user's name, and so nobody else in it. Where nginx is configured to read files of a
# release it would not find them any more, and the folder stays as it is: then open is set. The lock's
# own files are closed in any case.
close_root() {
  local mode=${modes[.]} mask=0027
  open=no
  if [[ ${modes[.lock]} != "$closed_file" && -O $path/.lock ]]; then chmod 0600 -- "$path/.lock"; fi
  if [[ $number == "${GROUPS[0]}" && $group != "$me" ]]; then mask=0077; fi
  if (((16#$mode & 8#$mask) == 0)); then return; fi
  if grep -rsqF -- "$path/" /etc/nginx; then
    open=yes
    return
  fi
  chmod "$(printf '%o' $((16#$mode & 8#7777 & ~8#$mask)))" -- "$path" || say "$path can't be closed to others"
}
closed_file=8180 closed_folder=41c0 # regular, 0600; a folder, 0700

# name_holder: says whose the lock is. Who had it before has taken that away, if nothing has ended
# it: then the file is a new one, which nobody takes for another's while its text is still to come.
name_holder() {
  local utc text file=$path/.lock.holder made=no
  utc_now
  text=$lock_token$'\n'"$lock_note, since $utc"$'\n'
  if [[ ! -e $file && ! -L $file ]]; then
    umask 077
    set -C
    { printf '%s' "$text" >"$file"; } 2>/dev/null && made=yes
    if [[ $made == no ]]; then rm -f -- "$file"; fi # the disk is full
    set +C
    umask 022
  fi
  if [[ $made == no ]]; then write "$file" 0600 "$text"; fi
}

# make_steps: the folder for the results of this run's steps, of which there are none yet. Those of
# other runs have other names: drop_steps takes them away, for which nobody waits. Files that others
# could open, as earlier versions made them, somebody may hold for ever: new ones take their places.
# Called before the first step of a run, when nothing of an earlier one is at work.
make_steps() {
  local file doomed=() run=${lock_token%-*}
  if [[ ${modes[.lock.steps]-} != "$closed_folder" || ! -O $path/.lock.steps ]]; then
    if [[ -e $path/.lock.steps || -L $path/.lock.steps ]]; then rm -rf -- "$path/.lock.steps"; fi
    mkdir -m 0700 -- "$path/.lock.steps"
  fi
  for file in .lock.step .lock.leader; do
    if [[ ${modes[$file]-$closed_file} != "$closed_file" ]]; then doomed+=("$path/$file"); fi
  done
  gone "${doomed[@]}" "$path/.lock.steps/$run".* "$path/.lock.steps/.$run"-*
}

# drop_steps: of other runs, and where earlier versions had them.
drop_steps() {
  local file old=() run=${lock_token%-*}
  for file in "$path/.lock.results" "$path/.lock.steps/"{,.[!.],..?}*; do
    if [[ ${file##*/} == "$run".* || ${file##*/} == ".$run-"* ]]; then continue; fi
    if [[ -e $file || -L $file ]]; then old+=("$file"); fi
  done
  if ((${#old[@]} > 0)); then rm -rf -- "${old[@]}" 2>/dev/null || :; fi
}

# recipe_keys: recipes are told by a key of this host's, which only its user can read: whoever knew
# one could else find the values of env by trying, and those of earlier versions are made such. It
# changes nothing of what they say.
recipe_keys() {
  local file text
  if [[ ! -s $path/.recipe-key ]]; then
    write "$path/.recipe-key" 0600 "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
  fi
  for file in "$path"/releases/*/.deploy-action/recipe; do
    if read -r text 2>/dev/null <"$file" && [[ $text =~ ^[0-9a-f]{16}$ ]]; then
      text=$(cat -- "$path/.recipe-key" - <<<"$text" | sha256sum)
      write "$file" 0600 "${text%% *}"$'\n'
    fi
  done
}

# holder: sets note to who has it, for people.
holder() {
  note=''
  { read -r _ && IFS= read -r note || :; } 2>/dev/null <"$path/.lock.holder" || :
}

# tell: says so, once.
tell() {
  holder
  if [[ $told == no ]]; then say "the deploy lock is held by ${note:-another run}; waiting up to ${lock_timeout}s"; fi
  told=yes
}

# is_lock FILE: is it still the one that counts?
is_lock() { [[ $1 -ef $path/.lock ]]; }

# is_held: does a process of this user hold the lock? The kernel shows that at the open file
# (proc(5), fdinfo), not at who waits.
is_held() {
  local fd
  for fd in /proc/[0-9]*/fd/[0-9]*; do
    if [[ -O ${fd%/fd/*} ]] && is_lock "$fd" && grep -qs '^lock:' "${fd/\/fd\//\/fdinfo\/}"; then return; fi
  done
  return 1
}
