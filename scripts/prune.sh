#!/usr/bin/env bash
# Deletes what no rollback will need: old releases and those that never served, half-made and
# half-sent ones, venvs, assets and commits that nothing refers to.
#
# Values: app, path, ports, lock_token, keep_releases, keep (releases that stay in any case,
#         blank-separated), live (yes: the release of this run serves; no: it failed, and the next
#         run goes on with its downloads)
# Prints: pruned (releases), freed_mb, stuck (some files that could not be deleted, blank-separated)

main() {
  local before port
  own_lock
  if [[ $live == yes ]]; then for port in $ports; do settle_environment "$port"; done; fi
  before=$(free_kb "$path")
  clear_out "$keep_releases"
  delete "$path/.transfer"
  if [[ $live == yes ]]; then rm -f -- "$path"/assets/*.partial; fi
  commits
  result pruned "$pruned"
  result freed_mb "$((($(free_kb "$path") - before) / 1024))"
  result stuck "$(printf '%s ' "${stuck[@]:0:3}" | tr -d '\n\r')"
}

# commits: of the repository, of its submodules, and the files that git-lfs keeps for them.
commits() {
  local needed mirror
  [[ -d $path/repo.git ]] || return 0
  needed=$(cat -- "$path"/releases/*/.deploy-action/{commit,objects} 2>/dev/null || :)
  for mirror in "$path"/repo.git/modules/* "$path/repo.git"; do
    if [[ ! -e $mirror/HEAD ]]; then continue; fi
    git --git-dir="$mirror" for-each-ref --format='%(refname)' refs/deploy/ | not_needed | sed 's/^/delete /' \
      | git --git-dir="$mirror" update-ref --stdin
    if [[ -z $(git --git-dir="$mirror" for-each-ref --count=1) ]]; then
      delete "$mirror"
    else
      if [[ -d $mirror/lfs ]]; then find "$mirror/lfs/objects" -type f | not_needed | tr '\n' '\0' | xargs -0r rm -f --; fi
      # A fetch leaves a pack, and each a part of it that is soon of no use: twice as many as there
      # are releases are put together again.
      nice -n 10 git --git-dir="$mirror" -c gc.autoDetach=false -c gc.autoPackLimit="$((2 * keep_releases))" -c gc.pruneExpire=now gc --auto --quiet >&2
    fi
  done
}

# not_needed: of paths that end in an object's name, those of objects that no release refers to.
not_needed() { awk -F / 'NR == FNR { needed[$0]; next } !($NF in needed)' <(printf '%s\n' "$needed") -; }

main "$@" </dev/null
