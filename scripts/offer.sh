#!/usr/bin/env bash
# Says what of the last release the runner need not send again, and makes room for what it will
# send.
#
# Values: app, path, lock_token, active (the release that serves, or nothing), known (the id that other
#         hosts have what will be sent by, or nothing)
# Prints: transfer (a folder: the runner writes to the pipe `stream` in it), base (a release, or
#         nothing; then `lines` in that folder is what of its manifest is still true, and `offer`
#         the same with hashes cut to 16 digits, compressed), offer (that file's text in base64,
#         where it is short), disk_kb, inodes (what is free), taken (yes: a complete release has
#         that id here)
#
# The running version may have written to its own files. Each release has the seal of its files:
# inode, mode, size and time of the last change, as they were when it was whole. What differs from
# it is not offered, so it is sent again; nothing is read for that.

main() {
  local transfer=$path/.transfer base='' partial kb inodes percent
  own_lock
  for partial in "$transfer" "$path"/releases/[0-9]*T[0-9]*Z-???????.partial; do delete "$partial"; done # a dead run's
  mkdir -m 0700 -- "$transfer"
  mkfifo -m 0600 -- "$transfer/stream"
  find_base
  if [[ -n $base ]]; then
    true_lines "$path/releases/$base" >"$transfer/lines"
    # Enough to tell files apart; that the release adds up is proved with the whole hashes.
    awk -F '\t' -v OFS='\t' '{ $4 = substr($4, 1, 16); print }' "$transfer/lines" | gzip >"$transfer/offer"
    # A short one goes at once. Who fetches a file asks, far away, for each part of it.
    if (($(stat -c %s -- "$transfer/offer") <= 200000)); then result offer "$(base64 -w 0 -- "$transfer/offer")"; fi
  fi
  result transfer "$transfer"
  result base "$base"
  disk "$path"
  result disk_kb "$kb"
  result inodes "${inodes:-0}"
  result_if taken test -e "$path/releases/${known:-.}/.deploy-action/complete"
}

# find_base: sets base to the active release if it came from a workspace, else to the newest
# complete one that did.
find_base() {
  local id ids n
  ids=("$path"/releases/*) # in their order
  for ((n = ${#ids[@]}; n >= 0; n--)); do
    id=$active
    if ((n < ${#ids[@]})); then id=${ids[n]##*/}; fi
    [[ $id =~ ^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}$ && -s $path/releases/$id/.deploy-action/seal ]] || continue
    [[ -e $path/releases/$id/.deploy-action/complete ]] || continue
    base=$id
    return
  done
}

# true_lines FOLDER: its manifest less the files that are not as the seal has them, and less its
# links, which are always sent.
true_lines() {
  awk -F '\t' 'seal { whole[$2]; next } $1 == "d" || ($1 == "f" && $5 in whole)' \
    seal=1 <(seal "$1" | comm -12 - "$1/.deploy-action/seal") seal=0 <(gzip -dc <"$1/.deploy-action/manifest")
}

main "$@" </dev/null
