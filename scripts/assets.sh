#!/usr/bin/env bash
# Brings a file from S3, proves that it is whole, and links it into the release. One that is here
# already costs no byte.
#
# Values: app, path, lock_token, release, target (where in the release), url (signed: a secret),
#         etag, size (bytes), asset (names the content), download (names what of it came so far),
#         digest (sha256:HEX, md5:HEX, parts:ETAG, or nothing), recipe, clone (of a version started
#         by hand, or nothing), last (yes, no: more assets follow before the release is complete)
# Prints: fetched (bytes that came over the network), from (host: it was here already, clone,
#         store), proved (yes, no: by its size alone), kept (releases that the disk has room for)
# Exits:  EX_ASSET_PATH (it can't be put there), EX_DISK, EX_ASSET_REFUSED, EX_ASSET_MISSING,
#         EX_ASSET_CUT (the network), EX_ASSET_STALE (what came so far is of no use any more; gone),
#         EX_ASSET_WRONG (not the file it should be; gone)
# The URL reaches curl through a pipe: it is on no argument list, in no environment, on no disk.

main() {
  local file=$path/assets/$asset/file part=$path/assets/$download.partial got had=0 sum
  local from=host proved=yes up=../.. rest=$target
  own_lock
  cd -- "$path/releases/$release"
  place
  mkdir -p -- "$path/assets"
  if [[ ! -e $file ]]; then
    from=clone
    if [[ -z $clone ]] || ! take; then
      from=store
      fetch
    fi
  fi
  if [[ $from == store ]]; then result fetched "$((size - had))"; else result fetched 0; fi
  result from "$from"
  result proved "$proved"
  while [[ $rest == */* ]]; do up+=/.. rest=${rest#*/}; done
  mkdir -p -- "$(dirname -- "$target")"
  printf '%s\n' "$asset" >>.deploy-action/assets
  ln -sfnT -- "$up/assets/$asset/file" "$target"
  if [[ $last == yes ]]; then
    write .deploy-action/recipe 0600 "$recipe"$'\n'
    mark_complete
  fi
}

fetch() {
  : >>"$part"
  had=$(stat -c %s -- "$part")
  if ((had > 0)); then say "going on with an earlier download, at $had of $size bytes"; fi
  # Whatever is written is read at once, so that the proof is ready when the last byte has come.
  exec {sum_fd}< <(
    exec {step_fd}>&-
    tail -qf -s 0.1 --pid=$$ -c +1 -- "$part" | head -c "$size" | checksum
  )
  receive
  read -r sum _ <&"$sum_fd" || :
  if [[ $got != "$size" ]] || ! fits "$part"; then
    rm -f -- "$part"
    ((had == 0)) || die "$EX_ASSET_STALE" "what came earlier does not fit what came now; it is deleted"
    die "$EX_ASSET_WRONG" "$target is not the file it should be: $got bytes with ${digest%%:*} ${sum:-unknown}," \
      "wanted $size bytes with ${digest#*:}"
  fi
  keep "$part"
}

# receive: goes on where it was cut, until all is here or several tries in a row brought nothing.
# Sets got. A try is short, so that the download of a run that died ends soon after it, and the next
# run can go on with it.
receive() {
  local before=-1 tries=0 http status
  while got=$(stat -c %s -- "$part") && ((got < size)); do
    if ((got > before)); then before=$got tries=0; else tries=$((tries + 1)); fi
    ((tries < 5)) || die "$EX_ASSET_CUT" "the download of $target does not get beyond $got of $size bytes"
    if ((tries > 0)); then pause "$tries"; fi
    [[ $(head -n 1 -- "$path/.lock.holder" 2>/dev/null) == "$lock_token" ]] \
      || die "$EX_LOCK_LOST" "the deploy lock is gone; what has come of $target is kept"
    room
    status=0
    http=$(printf 'url = "%s"\n' "$url" | curl -q -gfsSL --max-redirs 0 -C - -H "If-Match: \"$etag\"" \
      --connect-timeout 10 --speed-limit 1000 --speed-time 15 --max-time 30 -w '%{http_code}' -o "$part" -K -) \
      || status=$?
    case $http:$status in
      40[013]:*) die "$EX_ASSET_REFUSED" "S3 refuses the host the signed URL of $target (status $http)" ;;
      404:*) die "$EX_ASSET_MISSING" "$target has vanished from S3 since it was looked up (status 404)" ;;
      412:* | 416:* | *:33)
        rm -f -- "$part"
        die "$EX_ASSET_STALE" "$target was replaced in S3 during the download; what came of it is deleted"
        ;;
      *:23)
        die "$EX_DISK" "the download of $target could not be written:" \
          "$(df -Ph -- "$path/assets" | awk 'NR == 2 { print $4 " free of " $2 }')"
        ;;
    esac
  done
}

main "$@" </dev/null
