#!/usr/bin/env bash
# Deletes what no rollback will need: old releases and those that never served, half-made and half-sent ones, venvs, assets and commits that
# nothing refers to.
#
# Values: app, path, lock_token, keep_releases, keep (releases that stay in any case, blank-separated),
#         live (yes: the release of this run serves; no: it failed, and the next run goes on with its downloads)
# Prints: pruned (releases), freed_mb

main() {
  local id pruned=0 before used stay
  own_lock
  before=$(free_kb "$path")
  used=$(in_use)
  cd -- "$path/releases"
  stay=" $(staying | tr '\n' ' ')"
  while IFS= read -r id; do
    # Only names of our making.
    [[ $id =~ ^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}(\.partial)?$ && $stay != *" $id "* ]] || continue
    # Under another name first: a half-deleted release must not look complete.
    if [[ $id != *.partial ]]; then mv -T -- "$id" "$id.partial"; fi
    rm -rf -- "${id%.partial}.partial"
    pruned=$((pruned + 1))
  done < <(find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n')
  rm -rf -- "$path/.transfer"
  venvs
  assets
  commits
  result pruned "$pruned"
  result freed_mb "$((($(free_kb "$path") - before) / 1024))"
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

# staying: the releases that are not deleted, among them the newest that served: by the order in which they came to serve, not by their
# names, which a clock has made. One that never served has no claim.
staying() {
  local file
  xargs -n 1 <<<"$keep"
  find "$path/slots" -type l -printf '%l\n' | sed 's,.*/,,'
  sed -n 's,^/releases/,,p' <<<"$used"
  for file in */.deploy-action/live; do
    if [[ -e ${file%live}complete ]]; then printf '%d %s\n' "$(<"$file")" "${file%%/*}"; fi
  done | sort -n | tail -n "$keep_releases" | cut -d ' ' -f 2
}

venvs() {
  local venv
  used+=$'\n'$(find "$path/releases" -mindepth 2 -maxdepth 2 -name .venv -type l -printf '%l\n')
  for venv in "$path"/venvs/*/; do
    venv=$(basename -- "$venv")
    if [[ $venv =~ ^[0-9a-f]{16}$ ]] && ! grep -qF "/$venv" <<<"$used"; then rm -rf -- "$path/venvs/$venv"; fi
  done
}

assets() {
  local needed asset
  needed=$(cat -- "$path"/releases/*/.deploy-action/assets 2>/dev/null || :)
  for asset in "$path"/assets/*/; do
    asset=$(basename -- "$asset")
    if [[ $asset =~ ^[0-9a-f]{32,64}(-[0-9]+)?$ ]] && ! grep -qxF -- "$asset" <<<"$needed"; then rm -rf -- "$path/assets/$asset"; fi
  done
  if [[ $live == yes ]]; then rm -f -- "$path"/assets/*.partial; fi
}

# commits: of the repository, of its submodules, and the files that git-lfs keeps for them.
commits() {
  local needed mirror
  [[ -d $path/repo.git ]] || return 0
  needed=$(cat -- "$path"/releases/*/.deploy-action/{commit,objects} 2>/dev/null || :)
  for mirror in "$path"/repo.git/modules/* "$path/repo.git"; do
    if [[ ! -e $mirror/HEAD ]]; then continue; fi
    git --git-dir="$mirror" for-each-ref --format='%(refname)' refs/deploy/ | not_needed | sed 's/^/delete /' | git --git-dir="$mirror" update-ref --stdin
    if [[ -z $(git --git-dir="$mirror" for-each-ref --count=1) ]]; then
      rm -rf -- "$mirror"
    else
      if [[ -d $mirror/lfs ]]; then find "$mirror/lfs/objects" -type f | not_needed | tr '\n' '\0' | xargs -0r rm -f --; fi
      # A fetch leaves a pack, and each a part of it that is soon of no use: twice as many as there are releases are put together again.
      nice -n 10 git --git-dir="$mirror" -c gc.autoDetach=false -c gc.autoPackLimit="$((2 * keep_releases))" -c gc.pruneExpire=now gc --auto --quiet >&2
    fi
  done
}

# not_needed: of paths that end in an object's name, those of objects that no release refers to.
not_needed() { awk -F / 'NR == FNR { needed[$0]; next } !($NF in needed)' <(printf '%s\n' "$needed") -; }

main "$@" </dev/null
