#!/usr/bin/env bash
# Brings one commit to the host as a release of its own.
#
# Values: app, path, lock_token, git_url, ref (a full SHA or a ref name), token (may be empty), stamp, recipe,
#         active_commit, active_recipe
# Prints: commit; then either unchanged=yes (the active release is this commit, made the same way) or release
# Exits:  EX_FETCH when git can't have the commit
#
# The token reaches git through a pipe that only its credential helper reads: it is on no argument list, in no environment, on no disk.

main() {
  local commit release partial
  own_lock
  mirror=$path/repo.git
  [[ -e $mirror/HEAD ]] || new_mirror
  if [[ ! $ref =~ ^[0-9a-f]{40}$ ]] || ! in_mirror cat-file -e "$ref^{commit}" 2>/dev/null; then
    download || { damaged && download; } || die "$EX_FETCH" "git could not fetch $ref from $git_url"
    commit=$(in_mirror rev-parse --verify -q 'FETCH_HEAD^{commit}')
  else
    commit=$ref
  fi
  result commit "$commit"
  if [[ $commit == "$active_commit" && $recipe == "$active_recipe" ]]; then
    result unchanged yes
    return
  fi
  # Without a ref the next fetch could not tell the server what is here already, and would be sent everything again.
  in_mirror update-ref "refs/deploy/$commit" "$commit"

  release=$stamp-${commit:0:7}
  partial=$path/releases/$release.partial
  mkdir -- "$partial"
  if ! take_out "$commit" "$partial"; then
    damaged || die "$EX_FETCH" "git could not take $commit out of $mirror"
    rm -rf -- "$partial"
    mkdir -- "$partial"
    { download && take_out "$commit" "$partial"; } \
      || die "$EX_FETCH" "git could not take $commit out of what it fetched from $git_url"
    in_mirror update-ref "refs/deploy/$commit" "$commit"
  fi
  if [[ -e $partial/.gitmodules ]]; then say "this commit has submodules; they are not fetched"; fi
  rm -rf -- "$partial/.deploy-action"
  mkdir -- "$partial/.deploy-action"
  printf '%s\n' "$commit" >"$partial/.deploy-action/commit"
  printf '%s\n' "$recipe" >"$partial/.deploy-action/recipe"
  mv -T -- "$partial" "$path/releases/$release"
  result release "$release"
}

new_mirror() {
  rm -rf -- "$mirror" "$mirror.partial"
  git init -q --bare --template= -- "$mirror.partial"
  mv -T -- "$mirror.partial" "$mirror"
}

# damaged: makes a new mirror where a power cut or a full disk has left one that git can't use; fails when it is sound.
damaged() {
  if in_mirror fsck --connectivity-only --no-dangling >/dev/null 2>&1; then return 1; fi
  say "the mirror on this host is damaged; everything is fetched anew"
  new_mirror
}

# take_out COMMIT FOLDER: the commit's files.
take_out() {
  local -x GIT_INDEX_FILE=$mirror/deploy.index
  rm -f -- "$GIT_INDEX_FILE"
  in_mirror read-tree "$1" && in_mirror --work-tree="$2" -C "$2" checkout-index --all --quiet
}

in_mirror() { git --git-dir="$mirror" "$@" </dev/null; }

download() {
  # shellcheck disable=SC2016 # git's shell expands it
  local helper='!f() { test "$1" = get && cat <&9; }; f'
  [[ -n $token ]] || helper=
  GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1 git --git-dir="$mirror" -c credential.helper= -c credential.helper="$helper" \
    -c protocol.version=2 -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 -c gc.auto=0 -c fetch.unpackLimit=1 \
    fetch --depth=1 --no-tags --no-write-commit-graph --quiet -- "$git_url" "$ref" \
    </dev/null >&2 9< <(printf 'username=x-access-token\npassword=%s\n' "$token")
}

main "$@" </dev/null
