#!/usr/bin/env bash
# Brings one commit to the host as a release of its own, with its submodules and the files that
# git-lfs keeps.
#
# Values: app, path, lock_token, git_url, ref (a commit, in full or abbreviated, or a ref name),
#         branch (on which a full one must be, or nothing), token (may be empty), stamp, recipe,
#         active_commit, active_recipe, known (lines COMMIT RELEASE: the ids that other hosts have
#         them under)
# Prints: commit, and the first line of its message (subject); then either unchanged=yes (the active
#         release is this commit, made the same way) or release; kept (how many releases stay, where
#         the disk has no room for more)
# Exits:  EX_FETCH when git can't have the commit

main() {
  local commit message job want release partial serving kb inodes percent
  own_lock
  expendable
  url=$git_url mirror=$path/repo.git
  ready
  objects=$mirror/deploy.objects
  resolve
  if [[ $want =~ ^[0-9a-f]{40}$ ]]; then
    commit=$want
    bring "$commit" || die "$EX_FETCH" "git could not fetch $ref from $git_url"
  else
    download "$want" || die "$EX_FETCH" "git could not fetch $ref from $git_url"
    commit=$(in_mirror rev-parse --verify -q 'FETCH_HEAD^{commit}') || die "$EX_FETCH" "$ref of $git_url is no commit"
    bring "$commit"
  fi
  result commit "$commit"
  exec {message}< <(in_mirror log -1 --format=%s "$commit")
  if [[ $commit == "$active_commit" && $recipe == "$active_recipe" ]]; then
    tell_subject
    result unchanged yes
    return
  fi

  name_it
  partial=$path/releases/$release.partial
  serving_kb .
  make_room "$serving" "the release" "$kb"
  if [[ -e $partial ]]; then rm -rf -- "$partial"; fi # of this run, when it was cut off here
  if [[ -e $path/releases/$release && ! -e $path/releases/$release/.deploy-action/complete ]]; then
    rm -rf -- "$path/releases/$release"
  fi
  mkdir -- "$partial"
  : >"$objects"
  checkout "$commit" "$partial" & # a job of its own can fail without ending this one
  job=$!
  tell_subject
  if ! wait "$job"; then again; fi
  if [[ -e $partial/.deploy-action || -L $partial/.deploy-action ]]; then rm -rf -- "$partial/.deploy-action"; fi
  mkdir -- "$partial/.deploy-action"
  printf '%s\n' "$commit" >"$partial/.deploy-action/commit"
  lay "$partial/.deploy-action/recipe" 0600 "$recipe"$'\n'
  if [[ -s $objects ]]; then
    mv -fT -- "$objects" "$partial/.deploy-action/objects"
  else
    : >"$partial/.deploy-action/objects"
  fi
  mv -T -- "$partial" "$path/releases/$release"
  result release "$release"
}

# tell_subject: the result of that name, which is asked for while other things are done.
tell_subject() {
  local subject=''
  IFS= read -r -u "$message" subject || :
  exec {message}<&-
  subject=${subject:0:400}
  result subject "${subject//$'\r'/}"
}

# name_it: sets release, to that of other hosts unless this one has had it before: what is complete
# stays as it is.
name_it() {
  local its id
  release=$stamp-${commit:0:7}
  while read -r its id; do
    if [[ $its == "$commit" && ! -e $path/releases/$id/.deploy-action/complete ]]; then release=$id; fi
  done <<<"$known"
}

# again: the one thing that is mended is a mirror that a power cut or a full disk has damaged; what
# else went wrong has been said.
again() {
  damaged || exit "$EX_FETCH"
  rm -rf -- "$partial"
  mkdir -- "$partial"
  bring "$commit" || die "$EX_FETCH" "git could not fetch $ref from $git_url"
  : >"$objects"
  checkout "$commit" "$partial"
}

main "$@" </dev/null
