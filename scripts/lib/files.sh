#!/usr/bin/env bash
# Files that are whole or not there, and logs.
#
# Values: app, path

# write_root FILE MODE [TEST...]: standard input becomes FILE, whole or not at all, owned by root,
# once a command approves of it under another name.
write_root() {
  local tmp
  tmp=$(as_root mktemp "${1%/*}/.${1##*/}.XXXXXX") # nginx reads all others in a folder
  if ! { as_root tee -- "$tmp" >/dev/null && as_root chmod "$2" "$tmp" \
    && { (($# < 3)) || as_root "${@:3}" "$tmp" >&2 </dev/null; } \
    && as_root sync "$tmp" && as_root mv -fT -- "$tmp" "$1"; }; then
    as_root rm -f -- "$tmp"
    return 1
  fi
}

# write FILE MODE [TEXT]: the same for a file of the login user's, of that text, or else of standard
# input. Nobody else may open it before it has its mode.
write() {
  local tmp=$1.$BASHPID.$RANDOM made=yes
  if [[ $2 == 0600 ]]; then umask 077; fi
  set -C # what is there by that name is none of ours
  { if (($# > 2)); then printf '%s' "$3"; else cat; fi; } >"$tmp" || made=no
  set +C
  umask 022
  if [[ $made == no ]] || ! { { [[ $2 == 06* ]] || chmod "$2" "$tmp"; } && sync "$tmp" && mv -fT -- "$tmp" "$1"; }; then
    rm -f -- "$tmp"
    return 1
  fi
}

# lay FILE MODE TEXT: a file of a release that is not complete yet: nobody reads it before the marker
# says that it is, and who makes that has all on the disk first.
lay() {
  if [[ -e $1 || -L $1 ]]; then rm -rf -- "$1"; fi
  if [[ $2 == 0600 ]]; then umask 077; fi
  printf '%s' "$3" >"$1" || return
  umask 022
  [[ $2 == 06* ]] || chmod "$2" "$1"
}

# fit_root: the deploy root is a folder of its own. A clone, or a folder with somebody's files in
# it, would get ours among them.
fit_root() {
  local name theirs='' owner='' ours=()
  [[ ! -e $path/.git ]] \
    || die "$EX_CHECK" "$path is a git work tree, and releases need a folder of their own: choose another one with the \
input path"
  root_owner
  [[ -z $owner || $owner == "$app" ]] \
    || die "$EX_CHECK" "$path belongs to the application $owner on this host: if this is $owner under a new name, as \
when its repository was renamed, set the input app to \"$owner\"; another application needs another folder, by the \
input path"
  runs_in
  [[ -z $theirs ]] || die "$EX_CHECK" "$app runs on this host from $theirs, and not from $path: set the input path to \
\"$theirs\", or choose another name with the input app"
  [[ -d $path && ! -e $path/.lock ]] || return 0
  for name in releases slots shared venvs assets logs repo.git lost+found .app; do ours+=(! -name "$name"); done
  theirs=$(find "$path" -mindepth 1 -maxdepth 1 "${ours[@]}" -printf '%f' -quit 2>/dev/null | tr -cd '[:print:]' || :)
  [[ -z $theirs ]] || die "$EX_CHECK" "$path holds what is not this action's ($theirs), and releases need a folder of \
their own: choose another one with the input path"
}

# runs_in: sets theirs to the deploy root that a version of the application runs from by its service,
# if it is another one.
runs_in() {
  local unit=/etc/systemd/system/$app@.service there folder='' line=$'\n'
  written_by_us "$unit" || return 0
  content "$unit"
  if [[ $'\n'$there$'\n' =~ ${line}WorkingDirectory=(/[^$line]*)/slots/%i$line ]]; then folder=${BASH_REMATCH[1]}; fi
  if [[ $folder != "$path" && -n $(systemctl list-units --plain --no-legend "$app@*.service" </dev/null) ]]; then
    theirs=$folder
  fi
}

# root_owner: sets owner to the application whose the deploy root is, by its mark, or by the service
# that works there.
root_owner() {
  local unit line
  owner=''
  if [[ -r $path/.app ]]; then
    if first_line "$path/.app" && [[ $line =~ ^[a-z][a-z0-9-]{0,31}$ ]]; then owner=$line; fi
    return
  fi
  unit=$(grep -lxF "WorkingDirectory=$path/slots/%i" /etc/systemd/system/*@.service 2>/dev/null | head -n 1) || :
  unit=${unit##*/}
  owner=${unit%@.service}
}

# delete PATH: with what somebody has left in it without write permission. What still can't be
# deleted, such as another user's file, is noted in stuck: it fails nothing.
delete() {
  rm -rf -- "$1" 2>/dev/null && return
  find "$1" -type d ! -perm -u=rwx -exec chmod u+rwx -- {} + 2>/dev/null || :
  rm -rf -- "$1" 2>/dev/null && return
  if free_root && as_root rm -rf --one-file-system -- "$1" 2>/dev/null </dev/null; then return; fi
  stuck+=("$(find "$1" -depth -print 2>/dev/null | head -n 1 || :)")
}
stuck=()

# disk FOLDER: sets kb and inodes to what its file system has left, and percent to what it has not, as
# df(1) says it. Some have no table of inodes, 0 of 0: then inodes is nothing.
disk() {
  local all left mine size total
  read -r all left mine size total inodes < <(stat -fc '%b %f %a %S %c %d' -- "$1" 2>/dev/null) || return
  kb=$((mine * size / 1024)) percent=0
  if ((all - left + mine > 0)); then percent=$((((all - left) * 100 + all - left + mine - 1) / (all - left + mine))); fi
  if ((total == 0)); then inodes=''; fi
}

# read_only FOLDER: sets where to the place at which its file system is mounted when nothing can be
# written to it; else fails. The kernel makes one so when the disk fails.
read_only() {
  local options=''
  where=''
  read -r where options < <(findmnt -nro TARGET,OPTIONS -T "$1" 2>/dev/null) || :
  [[ ,$options, == *,ro,* ]]
}

# make_flags: the folder of the flags, which the login user writes to.
make_flags() {
  as_root install -d -m 0755 /var/lib/deploy-action "/var/lib/deploy-action/$app"
  as_root install -d -m 0755 -o "$me" -g "$(id -gn)" -- "$flags"
}

# put_flag PORT: its folder, too, is made again: a hand that deletes it during a deployment must not
# stop requests from going back.
put_flag() {
  if [[ ! -d $flags ]]; then
    free_root || die "$EX_CHECK" "the folder $flags is gone, and $me lacks the rights to make it again: sudo install \
-d -o $me $flags"
    make_flags
  fi
  : >"$flags/$1"
  sync "$flags"
}

# flags_there: sets there to the ports that have one, blank-separated.
flags_there() {
  local flag
  there=''
  for flag in "$flags"/[0-9]*; do
    if [[ -f $flag && ${flag##*/} =~ ^[0-9]+$ ]]; then there+="${there:+ }${flag##*/}"; fi
  done
}

# move_flag FROM TO: one rename(2), by which new requests go to another slot.
move_flag() {
  if [[ -n $1 && -e $flags/$1 ]]; then
    mv -fT -- "$flags/$1" "$flags/$2"
  elif [[ ! -e $flags/$2 ]]; then
    put_flag "$2"
  fi
  stand_down "$2"
}

# stand_by PORT: from now on the slot may have requests for which no connection to the chosen one
# comes about. It is ours, it has served and proved itself, and what says so ends with it: systemd
# removes the folder that it is in, which is not where a hand that deletes flags looks. Where the
# version runs without a folder a link leads to its process; whose number that is after a reboot
# nobody knows. It is not worth a deployment.
stand_by() {
  local owner pid='' start pids=() life=/run/deploy-action/$app-$1
  stand_down "$1"
  listener "$1"
  if [[ $owner != ours ]]; then return; fi
  adopted "$1"
  pid=${pids[0]-}
  if [[ -z $pid ]]; then proved "$1" || return 0; fi
  if [[ -O $life ]] && : >"$life/stands"; then return; fi
  if [[ -z $pid ]]; then slot_pid "$1" || return 0; fi
  ln -sfnT -- "/proc/$pid/stat" "$flags/.standby-$1" 2>/dev/null || :
}

# stand_down PORT: no more, before it is stopped, or while it is active and not proved.
stand_down() { gone "$flags/.standby-$1" "/run/deploy-action/$app-$1/stands" || :; }

# gone FILE...: they are not there afterwards.
gone() {
  local file doomed=()
  for file in "$@"; do
    if [[ -e $file || -L $file ]]; then doomed+=("$file"); fi
  done
  ((${#doomed[@]} == 0)) || rm -f -- "${doomed[@]}"
}

# release_in PORT: sets release to the one that the slot's link leads to, or to nothing.
release_in() {
  for release in "$path"/releases/*/; do
    release=${release%/}
    if [[ $release -ef $path/slots/$1 ]]; then
      release=${release##*/}
      return
    fi
  done
  release=''
}

# environment_file PORT RELEASE: sets file to where the environment of the version in the slot is, from
# its folder.
environment_file() {
  file=.deploy-action/environment
  if [[ -e $path/slots/$1.environment && $path/slots/$1 -ef $path/releases/$2 ]]; then
    file=$path/slots/$1.environment
  fi
}

# settle_environment PORT: the environment with which a release was started again in the slot is the
# release's, once it has proved itself. It is not made by its recipe any more then.
settle_environment() {
  local release=$path/slots/$1/.deploy-action
  if [[ ! -e $path/slots/$1.environment || -e $path/slots/$1.trial ]]; then return; fi
  write "$release/recipe" 0600 $'renewed\n' && mv -fT -- "$path/slots/$1.environment" "$release/environment"
}

# seal RELEASE-FOLDER: inode, mode, size and time of the last change of each of its files, and the
# path, sorted.
seal() {
  find "$1" -mindepth 1 -path "$1/.deploy-action" -prune -o -type f -printf '%i %m %s %T@\t%P\n' | sort
}

# mark_complete: the release in this folder is whole; the marker promises that all before it
# survives a power cut.
mark_complete() {
  sync -f .
  lay .deploy-action/complete 0644 ''
  sync .deploy-action/complete
}

# proved PORT: has its release come through its probation, also this time?
proved() { [[ -e $path/slots/$1/.deploy-action/live && ! -e $path/slots/$1.trial ]]; }

# mark_live RELEASE: it serves, and has proved itself. The number in the marker puts releases in the
# order in which they came to serve, which neither a clock that jumps nor a later rollback changes.
mark_live() {
  local marker=$path/releases/$1/.deploy-action/live last=0 file line
  [[ ! -s $marker ]] || return 0
  for file in "$path"/releases/*/.deploy-action/live; do
    if first_line "$file" && [[ $line =~ ^[0-9]{1,17}$ ]] && ((10#$line > last)); then last=$((10#$line)); fi
  done
  write "$marker" 0644 "$((last + 1))"$'\n'
}

# turn_over LOG: a large one begins anew; one old one is kept. Sets size to that of the one that goes
# on, in bytes.
turn_over() {
  size=0
  if [[ -s $1 ]]; then size=$(stat -c %s -- "$1"); fi
  if ((size > 10485760)); then
    mv -f -- "$1" "$1.1"
    size=0
  fi
}

# What a line of the history holds at most, in bytes: a longer one is none of ours.
max_history=4096

# print_history COUNT: the last lines of deploys.jsonl.
print_history() {
  local n=0 text entries=()
  [[ -r $path/deploys.jsonl && $1 -gt 0 ]] || return 0
  mapfile -t entries < <(tail -c 262144 -- "$path/deploys.jsonl" | tail -n "$1") # bash reads these byte by byte
  for text in "${entries[@]}"; do
    if ((${#text} > max_history)); then text='{}'; fi
    result "history_$n" "${text//$'\r'/}"
    n=$((n + 1))
  done
}

# app_log PORT OFFSET: the application's own last lines since a start, for the one who reads the
# failure. Of lines that follow each other and differ in numbers alone, such as those of an access
# log, the first and the last are shown. That it can't be read hides no failure.
app_log() {
  local log=$path/logs/$1.log from=$2 size
  size=$(stat -c %s "$log" 2>/dev/null) || size=0
  if ((size < from)); then from=0; fi # somebody has cut it short since
  if ((size == from)); then
    say "the application has written nothing to its log ($log)"
    return
  fi
  say "the application's last lines ($log):"
  tail -c "+$((from + 1))" "$log" | tail -c 262144 | tail -n "+$((1 + (size - from > 262144)))" | tail -n 1000 | awk '
    function like() {
      if (more > 1) print "(" more - 1 " more like it)"
      if (more) print previous
      more = 0
    }
    { alike = $0; gsub(/[0-9]+/, "0", alike) }
    NR > 1 && alike == last { more++; previous = $0; next }
    { like(); print; last = alike }
    END { like() }' | tail -n 40 | sed 's/^/  | /' >&2 || :
}
