#!/usr/bin/env bash
# Deletes what no rollback will need: old releases, half-made ones and half-sent ones, venvs, assets and commits that nothing refers to.
#
# Values: app, path, lock_token, keep_releases, active (a release; it and whatever a slot points to always stay)
# Prints: pruned (releases), freed_mb

main() {
  local id target pruned=0 kept=0 before keep=" $active "
  own_lock
  before=$(df -Pk -- "$path" | awk 'NR == 2 { print $4 }')
  for target in "$path"/slots/*; do
    if [[ -L $target ]]; then keep+="$(basename -- "$(readlink -- "$target")") "; fi
  done
  cd -- "$path/releases"
  while IFS= read -r id; do
    # Only names of our making.
    [[ $id =~ ^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}(\.partial)?$ ]] || continue
    if [[ -e $id/.deploy-action/complete ]]; then
      kept=$((kept + 1))
      if ((kept <= keep_releases)); then continue; fi
    fi
    if [[ $keep == *" $id "* ]]; then continue; fi
    # Under another name first: a half-deleted release must not look complete.
    if [[ $id != *.partial ]]; then mv -T -- "$id" "$id.partial"; fi
    rm -rf -- "${id%.partial}.partial"
    pruned=$((pruned + 1))
  done < <(find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort -r)
  rm -rf -- "$path/.transfer"
  venvs
  assets
  commits
  result pruned "$pruned"
  result freed_mb "$((($(df -Pk -- "$path" | awk 'NR == 2 { print $4 }') - before) / 1024))"
}

venvs() {
  local used venv
  used=$(find "$path/releases" -mindepth 2 -maxdepth 2 -name .venv -type l -printf '%l\n')
  for venv in "$path"/venvs/*/; do
    venv=$(basename -- "$venv")
    if [[ $venv =~ ^[0-9a-f]{16}$ ]] && ! grep -qF "/$venv" <<<"$used"; then rm -rf -- "$path/venvs/$venv"; fi
  done
}

assets() {
  local used asset
  used=$(cat -- "$path"/releases/*/.deploy-action/assets 2>/dev/null || :)
  for asset in "$path"/assets/*/; do
    asset=$(basename -- "$asset")
    if [[ $asset =~ ^[0-9a-f]{32,64}(-[0-9]+)?$ ]] && ! grep -qxF -- "$asset" <<<"$used"; then rm -rf -- "$path/assets/$asset"; fi
  done
  # What was left of downloads: those that this release needed have been finished.
  rm -f -- "$path"/assets/*.partial
}

# commits: of the repository, of its submodules, and the files that git-lfs keeps for them.
commits() {
  local ref live mirror file
  [[ -d $path/repo.git ]] || return 0
  live=$(cat -- "$path"/releases/*/.deploy-action/{commit,objects} 2>/dev/null || :)
  for mirror in "$path/repo.git" "$path"/repo.git/modules/*; do
    [[ -e $mirror/HEAD ]] || continue
    while IFS= read -r ref; do
      if ! grep -qF "${ref##*/}" <<<"$live"; then git --git-dir="$mirror" update-ref -d "$ref"; fi
    done < <(git --git-dir="$mirror" for-each-ref --format='%(refname)' refs/deploy/)
    if [[ -d $mirror/lfs/objects ]]; then
      while IFS= read -r file; do
        if ! grep -qF "${file##*/}" <<<"$live"; then rm -f -- "$file"; fi
      done < <(find "$mirror/lfs/objects" -type f)
    fi
    nice -n 10 git --git-dir="$mirror" -c gc.autoDetach=false gc --auto --quiet >&2
  done
}

main "$@" </dev/null
