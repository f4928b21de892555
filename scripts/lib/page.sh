#!/usr/bin/env bash
# The page of a release's that visitors get while the site is in maintenance.
#
# Values: path, active (its port, or nothing), page (a path in the active release)

# find_page: sets file to the release's. What links lead to counts: nothing that is not the
# release's, and nothing that the action keeps in it, such as the environment, is shown to anybody.
find_page() {
  local release shared
  release=$(realpath -e -- "$path/slots/${active:-none}" 2>/dev/null) \
    || die "$EX_CHECK" "no release of ours is active that could have the file $page:" \
      "leave the input maintenance-page out"
  shared=$(realpath -m -- "$path/shared")
  file=$(realpath -e -- "$release/$page" 2>/dev/null) || :
  [[ -f $file && -r $file ]] \
    || die "$EX_CHECK" "the active release, ${release##*/}, has no file $page that could be read:" \
      "correct the input maintenance-page, or deploy a release that has it"
  [[ ($file == "$release"/* || $file == "$shared"/*) && $file != "$release"/.deploy-action/* ]] \
    || die "$EX_CHECK" "$page of the active release is a link to $file, which is none of the release's files:" \
      "name another one with the input maintenance-page"
  (($(stat -c %s -- "$file") <= 1048576)) \
    || die "$EX_CHECK" "$page of the active release is larger than 1 MB: a page for visitors should not be"
}
