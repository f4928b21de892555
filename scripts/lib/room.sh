#!/usr/bin/env bash
# Room on the disk: what of the deploy root no release needs.
#
# Values: path, ports, keep_releases, keep (releases that stay in any case, blank-separated)

# clear_out COUNT: deletes all releases but those to keep and the newest COUNT that have served, and
# what only they needed. Adds how many went to pruned, and to stuck what could not.
clear_out() {
  local id stay used
  used=$(in_use)
  stay=" $(staying "$1" | tr '\n' ' ')"
  while IFS= read -r id; do
    # Only names of our making.
    [[ $id =~ ^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}(\.partial)?$ && $stay != *" $id "* ]] || continue
    # Under another name first: a half-deleted release must not look complete. Something by that
    # name may be there that can't be deleted.
    if [[ $id != *.partial ]]; then
      rm -f -- "$path/releases/$id/.deploy-action/complete" || :
      if mv -T -- "$path/releases/$id" "$path/releases/$id.partial" 2>/dev/null; then id+=.partial; fi
    fi
    delete "$path/releases/$id"
    pruned=$((pruned + 1))
  done < <(find "$path/releases" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null)
  venvs
  assets
}

pruned=0 shortened=no

# serving_kb NAME: what the version that serves takes for the like of it: its release (.) or its
# venv (.venv). Nothing where the disk has room for any: to add up a large venv takes its time.
serving_kb() {
  local port dir
  (($(free_kb "$path") < 16 << 20)) || return 0
  for port in $ports; do
    if [[ -e $flags/$port ]] && dir=$(readlink -f -- "$path/slots/$port/$1") && [[ $dir == "$path"/* ]]; then size_kb "$dir"; fi
  done
}

# make_room KB WHAT: frees what it takes, before WHAT is there: first what no release needs, then
# the oldest of those that keep_releases keeps, but for the live one and the one before it. What is
# needed is a guess, from what is there: less than a small floor ends the script, else it is tried.
make_room() {
  local count need=$((${1:-0} + ${1:-0} / 10 + 65536)) kept=$keep_releases
  if (($(free_kb "$path") >= need)); then return; fi
  say "$2 needs about $((need / 1024)) MB, and $(($(free_kb "$path") / 1024)) MB are free: deleting what no release needs"
  for ((count = keep_releases; count >= 2; count--)); do
    if (($(free_kb "$path") >= need)); then break; fi
    clear_out "$count"
    kept=$count
  done
  if ((kept < keep_releases)) && [[ $shortened == no ]]; then
    shortened=yes
    result kept "$kept"
  fi
  say "$(($(free_kb "$path") / 1024)) MB are free now; $(sizes)"
  if (($(free_kb "$path") < floor_kb)); then
    die "$EX_DISK" "$2 needs about $((need / 1024)) MB of disk, and $(($(free_kb "$path") / 1024)) MB are free at $path, with all deleted but the live release and the one before it: $(sizes)"
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

# in_use: releases and venvs that a process of this user's runs from or works in; an application may
# leave some behind when it stops. What is on the command lines of others is not asked: anybody can
# write anything there.
in_use() {
  local files=() folder
  while IFS= read -r folder; do files+=("${folder%/status}"); done \
    < <(grep -lsE "^Uid:[[:space:]]+${EUID}[[:space:]]" /proc/[0-9]*/status || :)
  {
    find "${files[@]/%//cwd}" "${files[@]/%//root}" "${files[@]/%//exe}" "${files[@]/%//fd}" \
      -maxdepth 1 -type l -printf '%l\n'
    cat "${files[@]/%//maps}" "${files[@]/%//cmdline}" | tr '\0' '\n'
  } 2>/dev/null | grep -aoE '/(releases/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}|venvs/[0-9a-f]{16})' | sort -u || :
}

# staying COUNT: the releases that are not deleted, among them the newest that served: by the order
# in which they came to serve, not by their names, which a clock has made. One that never served has
# no claim.
staying() {
  local file name
  xargs -n 1 <<<"$keep"
  find "$path/slots" -type l -printf '%l\n' 2>/dev/null | sed 's,.*/,,'
  sed -n 's,^/releases/,,p' <<<"$used"
  for file in "$path"/releases/*/.deploy-action/live; do
    name=${file%/.deploy-action/live}
    if [[ -e ${file%live}complete ]]; then printf '%d %s\n' "$(<"$file")" "${name##*/}"; fi
  done | sort -n | tail -n "$1" | cut -d ' ' -f 2
}

venvs() {
  local venv
  used+=$'\n'$(find "$path/releases" -mindepth 2 -maxdepth 2 -name .venv -type l -printf '%l\n' 2>/dev/null)
  for venv in "$path"/venvs/*/; do
    venv=${venv%/} venv=${venv##*/}
    if [[ $venv =~ ^[0-9a-f]{16}$ ]] && [[ $used != *"/$venv"* ]]; then delete "$path/venvs/$venv"; fi
  done
}

assets() {
  local needed asset
  needed=$(cat -- "$path"/releases/*/.deploy-action/assets 2>/dev/null || :)
  for asset in "$path"/assets/*/; do
    asset=${asset%/} asset=${asset##*/}
    if [[ $asset =~ ^[0-9a-f]{32,64}(-[0-9]+)?$ ]] && [[ $'\n'$needed$'\n' != *$'\n'"$asset"$'\n'* ]]; then delete "$path/assets/$asset"; fi
  done
}
