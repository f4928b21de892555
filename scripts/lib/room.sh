#!/usr/bin/env bash
# Room on the disk: what of the deploy root no release needs.
#
# Values: path, ports, keep_releases, keep (releases that stay in any case, blank-separated)

# clear_out COUNT: deletes all releases but those to keep and the newest COUNT that have served, and
# what only they needed. Adds how many went to pruned, and to stuck what could not.
clear_out() {
  local id stay used='' links
  in_use
  staying "$1"
  for id in "$path"/releases/*/; do
    id=${id%/} id=${id##*/}
    # Only names of our making.
    [[ $id =~ ^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}(\.partial)?$ && $stay != *" $id "* && ! -L $path/releases/$id ]] \
      || continue
    # Under another name first: a half-deleted release must not look complete. Something by that
    # name may be there that can't be deleted.
    if [[ $id != *.partial ]]; then
      rm -f -- "$path/releases/$id/.deploy-action/complete" || :
      if mv -T -- "$path/releases/$id" "$path/releases/$id.partial" 2>/dev/null; then id+=.partial; fi
    fi
    delete "$path/releases/$id"
    pruned=$((pruned + 1))
  done
  venvs
  assets
}

pruned=0 shortened=no

# serving_kb NAME: sets serving to what the version that serves takes for the like of it: its release
# (.) or its venv (.venv). Nothing where the disk has room for any: to add up a large venv takes its
# time. Sets kb, as disk does.
serving_kb() {
  local port dir
  serving=''
  disk "$path"
  ((kb < 16 << 20)) || return 0
  for port in $ports; do
    if [[ -e $flags/$port ]] && dir=$(readlink -f -- "$path/slots/$port/$1") && [[ $dir == "$path"/* ]]; then
      serving=$(size_kb "$dir")
    fi
  done
}

# make_room KB WHAT [FREE]: frees what it takes, before WHAT is there: first what no release needs, then
# the oldest of those that keep_releases keeps, but for the live one and the one before it. What is
# needed is a guess, from what is there: less than a small floor ends the script, else it is tried.
make_room() {
  local count need=$((${1:-0} + ${1:-0} / 10 + 65536)) kept=$keep_releases kb=${3-} inodes percent
  [[ -n $kb ]] || disk "$path"
  if ((kb >= need)); then return; fi
  say "$2 needs about $((need / 1024)) MB, and $((kb / 1024)) MB are free: deleting what no release needs"
  for ((count = keep_releases; count >= 2; count--)); do
    disk "$path"
    if ((kb >= need)); then break; fi
    clear_out "$count"
    kept=$count
  done
  if ((kept < keep_releases)) && [[ $shortened == no ]]; then
    shortened=yes
    result kept "$kept"
  fi
  disk "$path"
  say "$((kb / 1024)) MB are free now; $(sizes)"
  if ((kb < floor_kb)); then
    die "$EX_DISK" "$2 needs about $((need / 1024)) MB of disk, and $((kb / 1024)) MB are free at $path,\
 with all deleted but the live release and the one before it: $(sizes)"
  fi
}

floor_kb=$((96 * 1024)) # below that what serves is in danger, whose log and data grow

# size_kb PATH...: what they take together, with nothing counted twice.
size_kb() { du -skc -- "$@" 2>/dev/null | awk 'END { print $1 + 0 }'; }

# sizes: what takes the disk, for people.
sizes() {
  local dir words=''
  for dir in releases venvs assets shared logs repo.git; do
    if [[ -d $path/$dir ]]; then words+="${words:+, }$dir $(($(size_kb "$path/$dir") / 1024)) MB"; fi
  done
  printf '%s' "$words"
}

# in_use: sets used to the releases and venvs that a process of this user's runs from or works in; an
# application may leave some behind when it stops. What is on the command lines of others is not
# asked: anybody can write anything there.
in_use() {
  local files=() links=() line like='/(releases/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}|venvs/[0-9a-f]{16})'
  mapfile -t files < <(grep -lsE "^Uid:[[:space:]]+${EUID}[[:space:]]" /proc/[0-9]*/status)
  files=("${files[@]%/status}")
  {
    mapfile -t links < <(find "${files[@]/%//cwd}" "${files[@]/%//root}" "${files[@]/%//exe}" "${files[@]/%//fd}" \
      -maxdepth 1 -type l '(' -lname '*/releases/*' -o -lname '*/venvs/*' ')' -printf '%l\n')
    used=$(grep -ahosE "$like" "${files[@]/%//maps}" "${files[@]/%//cmdline}") || :
  } 2>/dev/null
  for line in "${links[@]}"; do
    while [[ $line =~ $like ]]; do
      used+=$'\n'${BASH_REMATCH[0]}
      line=${line#*"${BASH_REMATCH[0]}"}
    done
  done
}

# staying COUNT: sets stay to the releases that are not deleted, a blank at each side, among them the
# newest that served: by the order in which they came to serve, not by their names, which a clock has
# made. What no rollback without a name goes to comes last among them, which is one that was gone back
# from, or came after the live one. One that never served has no claim. Sets links to the venvs of
# releases: its name, a blank, and where the link leads to.
staying() {
  local port file line last=$((10 ** 14)) served=() all=()
  stay=" ${keep//[[:space:]]/ } " links=()
  while IFS= read -r line; do
    if [[ $line == /releases/* ]]; then stay+="${line#/releases/} "; fi
  done <<<"$used"
  mapfile -t all < <(find "$path/slots" "$path/releases" -maxdepth 2 -type l -printf '%H %P %l\n' 2>/dev/null)
  for line in "${all[@]}"; do
    case ${line#"$path/"} in
      slots\ *) stay+="${line##*/} " ;;
      releases\ *'/.venv '*) links+=("${line#* }") ;;
    esac
  done
  for port in $ports; do
    if [[ -e $flags/$port ]] && first_line "$path/slots/$port/.deploy-action/live" && [[ $line =~ ^[0-9]{1,14}$ ]]; then
      last=$((10#$line))
    fi
  done
  for file in "$path"/releases/*/.deploy-action/live; do
    if [[ ! -e ${file%live}complete ]] || { ! first_line "$file" && [[ -s $file ]]; } \
      || [[ ! $line =~ ^[0-9]{0,14}$ ]]; then
      continue
    fi
    line=$((10#0$line * 1000 + ${#served[@]}))
    if [[ ! -e ${file%live}left ]] && ((line < (last + 1) * 1000)); then line=$((line + 10 ** 17)); fi
    file=${file%/.deploy-action/live}
    served[line]=${file##*/}
  done
  served=("${served[@]}")
  if ((${#served[@]} > $1)); then served=("${served[@]: -$1}"); fi
  stay+="${served[*]} "
}

venvs() {
  local venv line
  for line in "${links[@]}"; do
    venv=$path/releases/${line%%/*}
    if [[ -e $venv || -e $venv.partial ]]; then used+=$'\n'${line#* }; fi
  done
  for venv in "$path"/venvs/*/; do
    venv=${venv%/} venv=${venv##*/}
    if [[ $venv =~ ^[0-9a-f]{16}$ ]] && [[ $used != *"/$venv"* ]]; then delete "$path/venvs/$venv"; fi
  done
}

# named_in FILE...: sets needed to all their words, a blank at each side of each.
named_in() {
  local file there
  needed=' '
  for file in "$@"; do
    content "$file"
    needed+="${there//[[:space:]]/ } "
  done
}

assets() {
  local asset needed
  named_in "$path"/releases/*/.deploy-action/assets
  for asset in "$path"/assets/*/; do
    asset=${asset%/} asset=${asset##*/}
    if [[ $asset =~ ^[0-9a-f]{32,64}(-[0-9]+)?$ ]] && [[ $needed != *" $asset "* ]]; then
      delete "$path/assets/$asset"
    fi
  done
}
