#!/usr/bin/env bash
# Files that are whole or not there, and logs.
#
# Values: path

# write_root FILE MODE [TEST...]: standard input becomes FILE, whole or not at all, owned by root, once a command approves of it under another name.
write_root() {
  local tmp
  tmp=$(as_root mktemp "$1.XXXXXX")
  if ! { as_root tee -- "$tmp" >/dev/null && as_root chmod "$2" "$tmp" && { (($# < 3)) || as_root "${@:3}" "$tmp" >&2 </dev/null; } && as_root sync "$tmp" && as_root mv -fT -- "$tmp" "$1"; }; then
    as_root rm -f -- "$tmp"
    return 1
  fi
}

# write FILE MODE: the same for a file of the login user's.
write() {
  local tmp
  tmp=$(mktemp "$1.XXXXXX")
  if ! { cat >"$tmp" && chmod "$2" "$tmp" && sync "$tmp" && mv -fT -- "$tmp" "$1"; }; then
    rm -f -- "$tmp"
    return 1
  fi
}

# seal RELEASE-FOLDER: inode, mode, size and time of the last change of each of its files, and the path, sorted.
seal() {
  find "$1" -mindepth 1 -path "$1/.deploy-action" -prune -o -type f -printf '%i %m %s %T@\t%P\n' | sort
}

# mark_complete: the release in this folder is whole; the marker promises that all before it survives a power cut.
mark_complete() {
  sync -f .
  : | write .deploy-action/complete 0644
}

# app_log PORT OFFSET: the application's own last lines since a start, for the one who reads the failure.
app_log() {
  local log=$path/logs/$1.log
  [[ -s $log ]] || return 0
  say "the application's last lines ($log):"
  tail -c "+$(($2 + 1))" "$log" | tail -n 40 | sed 's/^/  | /' >&2
}

# put_back FOLDER: every file that site.sh set aside there goes back to its place, and the folder goes when all are; safe to repeat.
put_back() {
  local kept file
  [[ -d $1 ]] || return 0
  for kept in "$1"/*; do
    [[ -e $kept || -L $kept ]] || continue
    file=$(basename -- "$kept" .absent | tr : /)
    if [[ $kept == *.absent ]]; then
      as_root rm -f -- "$file" || return 1
    else
      { as_root cp -a -- "$kept" "$file.restored" && as_root mv -fT -- "$file.restored" "$file"; } || return 1
    fi
  done
  as_root rm -rf -- "$1"
}
