#!/usr/bin/env bash
# The page that visitors get while the site is in maintenance.
#
# Values: app, path, active (its port, or nothing), page (a path in the active release, or nothing for
#         the page that follows), plain_page (that)

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

# put_page: whole, by one rename; and nginx itself says that it is seen. Else what was there comes
# back, with its time, so that a maintenance goes on, and so do those who got in; nginx may be busy,
# which takes some seconds.
put_page() {
  local end back='the page is gone again' before=$closed_by.before
  if [[ -z $file && $(cat -- "$closed_by" 2>/dev/null) == "$plain_page" ]] \
    || { [[ -n $file ]] && cmp -s -- "$file" "$closed_by"; }; then
    return
  fi
  changed=yes
  rm -f -- "$before" # of a run that was cut off
  if [[ -e $closed_by ]]; then ln -T -- "$closed_by" "$before" 2>/dev/null || cp -pT -- "$closed_by" "$before"; fi
  if [[ -n $file ]]; then write "$closed_by" 0644 <"$file"; else write "$closed_by" 0644 "$plain_page"$'\n'; fi
  sync "$flags"
  now_ms
  end=$((ms + 5000))
  until routed && [[ $closed == closed ]]; do
    if past "$end"; then
      if [[ -e $before ]]; then
        mv -fT -- "$before" "$closed_by"
        back='the page of before is there again'
      else
        rm -f -- "$closed_by"
      fi
      sync "$flags"
      let_out
      die "$EX_NOT_ROUTED" "nginx does not see the page that is to be shown, $closed_by," \
        "so visitors would go on as before: let its workers read that folder; $back"
    fi
    pause 0.05
  done
  rm -f -- "$before"
}
