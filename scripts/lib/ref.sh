#!/usr/bin/env bash
# Which commit fetch.sh is to bring.
#
# Values: git_url, ref, branch

# resolve: sets want to what the server is asked for: a full commit, or the full name of a ref. A
# name that stands for two commits is refused: git itself takes the tag, and who may push tags is
# mostly not who may push to the branch.
resolve() {
  local names heads tags
  want=$ref
  if [[ $ref =~ ^[0-9a-f]{40}$ ]]; then
    if [[ -n $branch ]]; then on_branch; fi
    return
  fi
  names=$(online ls-remote -- "$git_url" "$ref" "refs/heads/$ref" "refs/tags/$ref" "refs/tags/$ref^{}") \
    || die "$EX_FETCH" "git could not fetch $ref from $git_url"
  if [[ -n $(commit_of "$ref") ]]; then return; fi # in full, or HEAD
  heads=$(commit_of "refs/heads/$ref") tags=$(commit_of "refs/tags/$ref^{}")
  tags=${tags:-$(commit_of "refs/tags/$ref")}
  if [[ -n $heads && -n $tags && $heads != "$tags" ]]; then
    die "$EX_FETCH" "$ref is a branch ($heads) and a tag ($tags) of $git_url: write refs/heads/$ref or refs/tags/$ref"
  fi
  if [[ -n $heads ]]; then want=refs/heads/$ref; elif [[ -n $tags ]]; then want=refs/tags/$ref; fi
  if [[ ${ref,,} =~ ^[0-9a-f]{4,39}$ ]]; then
    abbreviated "${ref,,}"
  elif [[ -z $heads$tags ]]; then
    die "$EX_FETCH" "git could not fetch $ref from $git_url: there is no such branch or tag"
  fi
}

# commit_of NAME: what ls-remote says of that very ref.
commit_of() { awk -v name="$1" '$2 == name { print $1 }' <<<"$names"; }

# history REFSPEC...: a repository of its own, scratch, with the commits of these refs, without
# files: in the mirror they would look like something that is whole.
history() {
  scratch=$mirror/resolve
  rm -rf -- "$scratch"
  git init -q --bare --template= -- "$scratch"
  mirror=$scratch online fetch --filter=tree:0 --quiet --no-write-commit-graph -- "$git_url" "$@" >&2 \
    || die "$EX_FETCH" "git could not fetch the commits of $git_url to find $ref"
}

# on_branch: the commit that another workflow ran for is said to be one of the branch; it may be
# that of a tag which has the branch's name.
on_branch() {
  local names scratch there=yes
  names=$(online ls-remote -- "$git_url" "refs/heads/$branch") \
    || die "$EX_FETCH" "git could not fetch $ref from $git_url"
  if [[ $(commit_of "refs/heads/$branch") == "$ref" ]]; then return; fi
  history "+refs/heads/$branch:refs/heads/$branch"
  git --git-dir="$scratch" merge-base --is-ancestor "$ref" "refs/heads/$branch" 2>/dev/null || there=no
  rm -rf -- "$scratch"
  [[ $there == yes ]] \
    || die "$EX_FETCH" "commit $ref, for which the other workflow ran, is not on the branch $branch of $git_url"
}

# abbreviated PREFIX: sets want to the one commit of any branch or tag that begins so, and refuses
# one that a branch or tag has for its name.
abbreviated() {
  local scratch id named=${heads:-$tags} found=()
  history '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*'
  while IFS= read -r id; do
    if [[ $(git --git-dir="$scratch" cat-file -t "$id") == commit ]]; then found+=("$id"); fi
  done < <(git --git-dir="$scratch" rev-parse --disambiguate="$1")
  rm -rf -- "$scratch"
  if [[ -n $named ]]; then
    [[ ${#found[@]} -eq 0 || ${found[*]} == "$named" ]] \
      || die "$EX_FETCH" "$ref is a branch or tag ($named) and begins a commit (${found[*]}) of $git_url: write more"
    return
  fi
  case ${#found[@]} in
    0) die "$EX_FETCH" "git could not fetch $ref from $git_url: no branch, tag or commit of any branch begins so" ;;
    1) want=${found[0]} ;;
    *) die "$EX_FETCH" "$ref stands for several commits of $git_url: ${found[*]}" ;;
  esac
}
