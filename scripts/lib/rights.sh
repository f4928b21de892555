#!/usr/bin/env bash
# What users of this host may change and see, of what root and this action go by.
#
# Values: path, rows (what nginx reads)

# judge_access FILE...: all that follows, of the files that this action writes.
judge_access() {
  local reads
  nginx_reads
  follow "$path" "$@" "${reads[@]}"
  judge_place
  judge_reading "$nginx_include" "$site_folder/$app.conf"
  judge_rights "$@"
  judge_texts
}

# follow FILE...: sets leads, by each, to what links make of it. One process for all of them, which is
# spared where each was followed before.
declare -A leads=()
follow() {
  local file ends=() n=0 known=yes
  for file in "$@"; do
    if [[ -z ${leads[$file]-} ]]; then known=no; fi
  done
  if [[ $known == yes ]] || ((EUID == 0)); then return; fi
  mapfile -d '' -t ends < <(readlink -zm -- "$@")
  for file in "$@"; do
    leads[$file]=${ends[n]-}
    n=$((n + 1))
  done
}

# exposed FILE MEANT: sets where to the first of it and the folders on the way, by its name and by
# what links make of it (MEANT), in which this user may put something in its place; fails when only
# others may. In a folder such as /tmp nobody takes away what is another's. Ways meet: what was
# looked at, from there to the root, is not looked at again.
declare -A looked_at=()
exposed() {
  local at way above
  for way in "$@"; do
    at=$way
    while [[ $at == /* && $at != / && -z ${looked_at[$at]-} ]]; do
      above=${at%/*} above=${above:-/}
      if [[ -O $at && ! -L $at ]] || [[ -f $at && -w $at ]]; then
        where=$at
        return
      elif [[ ! -L $above && -w $above ]] && ! [[ -k $above && ! -O $above && (-e $at || -L $at) && ! -O $at ]]; then
        where=$above
        return
      fi
      looked_at[$at]=yes at=$above
    done
  done
  return 1
}

# judge_rights FILE...: adds to faults what the login user may write where root reads configuration:
# whoever took over the application would be root by it, however few commands sudo lets the user
# run.
judge_rights() {
  local file where seen=' '
  if ((EUID == 0)); then return; fi
  follow "$@"
  for file in "$@"; do
    if ! exposed "$file" "${leads[$file]-}" || [[ $seen == *" $where "* ]]; then continue; fi
    seen+="$where "
    faults+=("$me may write to $where, and root reads configuration there ($file), so the application could become\
 root: sudo chown root:root $where && sudo chmod go-w $where, or choose a place that is root's")
  done
}

# nginx_reads: sets reads to all that nginx reads, by rows, where this user has nothing but the rules: it
# may have nginx read again, and a log goes wherever the configuration says.
nginx_reads() {
  local kind file pattern like
  reads=()
  if ((EUID == 0)) || ! rules_stand; then return; fi
  rows_like $'@(file|include)\t*'
  while IFS=$'\t' read -r kind file _ _ _ pattern _; do
    case $kind in
      file) reads+=("$file") ;;
      include) reads+=("$pattern") ;;
    esac
  done <<<"$like"
}

# judge_texts: judge_rights of these.
judge_texts() {
  local before=("${faults[@]}")
  judge_rights "${reads[@]}"
  if ((${#faults[@]} > ${#before[@]})) && free_root; then faults=("${before[@]}"); fi
}

# judge_reading FILE...: adds to faults the folder on the way that this user can't look into, or the
# file that it can't read: what is there would be taken for missing, and written anew each time.
judge_reading() {
  local file at rest seen=' '
  if ((EUID == 0)); then return; fi
  for file in "$@"; do
    at=''
    while [[ $at != "$file" ]]; do
      rest=${file#"$at"/} at+=/${rest%%/*}
      if [[ $seen == *" $at "* ]]; then
        break
      elif [[ -d $at && ! -x $at ]]; then
        faults+=("$me can't look into $at, and what this action has written there would be taken for missing: sudo \
chmod a+rx $at, or, for $me alone, sudo setfacl -m u:$me:rx $at")
        seen+="$at "
        break
      elif [[ -f $at && ! -r $at ]]; then
        faults+=("$me can't read $at, by which a deployment sees what has changed: sudo chmod a+r $at")
        seen+="$at "
      fi
    done
  done
}

# judge_place: adds to faults that the deploy root is another user's, who could put other releases
# into it, and to notes where the way to it is: there somebody could put another folder in its place.
judge_place() {
  local at=$path way=() owner mode name
  if ((EUID == 0)); then return; fi
  follow "$path"
  for at in "$path" "${leads[$path]-}"; do
    while [[ -n $at ]]; do
      if [[ -e $at && " ${way[*]} " != *" $at "* ]]; then way+=("$at"); fi
      at=${at%/*}
    done
  done
  while read -r owner mode name; do
    if ((owner == 0 || owner == EUID)) && (((8#$mode & 2) == 0 || (8#$mode & 8#1000) > 0)); then
      continue
    elif [[ $name == "$path" ]]; then
      faults+=("others than $me may change what is in $path, which $me starts: sudo chown -R $me $path && sudo chmod \
go-w $path, or choose another place with the input path")
    else
      notes+=("others than $me and root may put another folder in the place of $path, since they may change $name \
($(stat -Lc '%U, %A' -- "$name")): let that be root's (sudo chown root $name && sudo chmod o-w $name), or choose \
another place with the input path")
    fi
  done < <(stat -Lc '%u %a %n' -- "${way[@]}" 2>/dev/null)
}
