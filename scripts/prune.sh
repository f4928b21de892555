#!/usr/bin/env bash
# Deletes what no rollback will need: old releases and those that never served, half-made and
# half-sent ones, venvs, assets and commits that nothing refers to.
#
# Values: app, path, ports, lock_token, keep_releases, keep (releases that stay in any case,
#         blank-separated), live (yes: the release of this run serves; no: it failed, and the next
#         run goes on with its downloads)
# Prints: pruned (releases), freed_mb, stuck (some files that could not be deleted, blank-separated)

main() {
  local before port kb inodes percent
  own_lock
  if [[ $live == yes ]]; then for port in $ports; do settle_environment "$port"; done; fi
  disk "$path"
  before=$kb
  clear_out "$keep_releases"
  if [[ -e $path/.transfer ]]; then delete "$path/.transfer"; fi
  if [[ $live == yes ]]; then gone "$path"/assets/*.partial; fi
  commits
  result pruned "$pruned"
  disk "$path"
  result freed_mb "$(((kb - before) / 1024))"
  stuck=("${stuck[@]//[$'\r\n']/}")
  result stuck "${stuck[*]:0:3}"
}

# commits: of the repository, of its submodules, and the files that git-lfs keeps for them.
commits() {
  local needed mirror refs ref unneeded left
  [[ -d $path/repo.git ]] || return 0
  named_in "$path"/releases/*/.deploy-action/{commit,objects}
  for mirror in "$path"/repo.git/modules/* "$path/repo.git"; do
    if [[ ! -e $mirror/HEAD ]]; then continue; fi
    refs=$(git --git-dir="$mirror" for-each-ref --format='%(refname)') unneeded='' left=no
    while IFS= read -r ref && [[ -n $ref ]]; do
      if [[ $ref != refs/deploy/* || $needed == *" ${ref##*/} "* ]]; then
        left=yes
      else
        unneeded+="delete $ref"$'\n'
      fi
    done <<<"$refs"
    if [[ -n $unneeded ]]; then git --git-dir="$mirror" update-ref --stdin <<<"${unneeded%$'\n'}"; fi
    if [[ $left == no ]]; then
      delete "$mirror"
    else
      if [[ -d $mirror/lfs ]]; then
        find "$mirror/lfs/objects" -type f | not_needed | tr '\n' '\0' | xargs -0r rm -f --
      fi
      # A fetch leaves a pack, and each a part of it that is soon of no use: twice as many as there
      # are releases are put together again.
      nice -n 10 git --git-dir="$mirror" -c gc.autoDetach=false -c gc.autoPackLimit="$((2 * keep_releases))" \
        -c gc.pruneExpire=now gc --auto --quiet >&2
    fi
  done
}

# not_needed: of paths that end in an object's name, those of objects that no release refers to.
not_needed() { awk -F / 'NR == FNR { needed[$0]; next } !($NF in needed)' <(printf '%s\n' "${needed// /$'\n'}") -; }

main "$@" </dev/null
