#!/usr/bin/env bash
# The nginx files in whose place this action has put others: kept, and brought back.
#
# Values: app, path, site_file and site_written (where the site is written)

# While a release is on trial with a site that was written for it: its port, the release, and the
# name of what is kept of the site of before.
trial_note=$path/slots/site.trial

# noted NAME: is what is kept under it noted?
noted() {
  local line
  first_line "$trial_note" && [[ ${line##* } == "$1" ]]
}

# settle_record: the record is of the file that is there, where an earlier run was cut off between
# the two.
settle_record() {
  local record
  for record in "$site_written".{next,back}; do
    if [[ -e $record && -e $site_file ]] && recorded "$record"; then as_root mv -fT -- "$record" "$site_written"; fi
  done
  as_root rm -f -- "$site_written".{next,back}
}

# begin_keeping FOLDER, set_aside FOLDER FILE and end_keeping FOLDER: it is there when all is in it,
# of each file a copy under its path with colons, or a note that there was none.
begin_keeping() {
  as_root install -d -m 0755 -- "${1%/*}"
  as_root rm -rf -- "$1.new"
  as_root install -d -m 0755 -- "$1.new"
}

set_aside() {
  local name=${2//\//:}
  if [[ -e $2 || -L $2 ]]; then as_root cp -a -- "$2" "$1.new/$name"; else as_root touch -- "$1.new/$name.absent"; fi
}

end_keeping() {
  as_root sync -f "$1.new"
  as_root rm -rf -- "$1"
  as_root mv -T -- "$1.new" "$1"
}

# forget_others FOLDER: nobody goes back beyond what is kept there. The link of the welcome page comes
# back when the application is removed.
forget_others() {
  local other
  for other in "${1%/*}"/*; do
    if [[ $other != "$1" && ! -L $other/:etc:nginx:sites-enabled:default ]]; then as_root rm -rf -- "$other"; fi
  done
}

# kept_of NAME: sets file to the path of what is kept under it.
kept_of() {
  file=${1##*/} file=${file%.absent}
  file=${file//://}
}

# drop_kept FOLDER: at once, and not half of it.
drop_kept() {
  if [[ -d $1 ]]; then as_root rm -rf -- "$1.new" && as_root mv -T -- "$1" "$1.new" && as_root rm -rf -- "$1.new"; fi
}

# put_back FOLDER: every file that was set aside there goes back to its place, and the folder goes
# when all are; safe to repeat.
put_back() {
  [[ -d $1 ]] || return 0
  lay_back "$1" || return
  drop_kept "$1"
}

# bring KEPT FILE: nginx reads no file with a dot in front.
bring() {
  local tmp=${2%/*}/.${2##*/}.restored
  as_root cp -a -- "$1" "$tmp" && as_root mv -fT -- "$tmp" "$2"
}

# lay_back FOLDER: the first half. Whenever this is cut off, the site's file is one that is known as
# this action's, and nginx can load what is there: see put_in_place. Groups go last, and come first;
# a site of ours goes first, and comes last.
lay_back() {
  local kept file record=${flags%/active}/site.conf was first=() rest=() last=()
  was=$1/${record//\//:}
  if [[ -e $was ]]; then
    bring "$was" "$record.back" || return 1
  elif [[ -e $was.absent ]]; then
    as_root rm -f -- "$record" || return 1
  fi
  for kept in "$1"/*; do
    [[ (-e $kept || -L $kept) && $kept != "$was"* ]] || continue
    kept_of "$kept"
    if [[ $file == */"$app.conf" && -e $file || $file == */"$app.upstreams.conf" && ! -e $file ]]; then
      first+=("$kept")
    elif [[ $file == */"$app".@(|upstreams.)conf ]]; then
      last+=("$kept")
    else
      rest+=("$kept")
    fi
  done
  for kept in "${first[@]}" "${rest[@]}" "${last[@]}"; do
    kept_of "$kept"
    if [[ $kept == *.absent && -d $file ]]; then
      as_root rmdir -- "$file" 2>/dev/null || : # somebody has used it since
    elif [[ $kept == *.absent ]]; then
      as_root rm -f -- "$file" || return 1
    else
      bring "$kept" "$file" || return 1
    fi
  done
  if [[ -e $was ]]; then as_root mv -fT -- "$record.back" "$record" || return 1; fi
  if [[ -e $was || -e $was.absent ]]; then as_root rm -f -- "$record.next" "$record.back"; fi
}
