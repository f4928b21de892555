#!/usr/bin/env bash
# Is a file the object that it should be, and where it goes when it is.
#
# Values: path, asset, download, target, size, digest, clone

# place: nothing of the release's own may be hidden by the link, and the link must not end up
# outside of it.
place() {
  local dir=$target
  while [[ $dir == */* ]]; do
    dir=${dir%/*}
    if [[ -L $dir || -e $dir && ! -d $dir ]]; then
      die "$EX_ASSET_PATH" "$target can't be put into the release: its $dir is not a folder of the release's own"
    fi
  done
  if [[ -L $target && $(readlink -- "$target") == ../*/assets/*/file ]] \
    || [[ -f $target && ! -s $target && ! -L $target ]]; then
    return
  fi
  if [[ -e $target || -L $target ]]; then
    die "$EX_ASSET_PATH" "the release has a $(stat -c '%F of %s bytes' -- "$target") of its own at $target;" \
      "it is not replaced"
  fi
}

# checksum: of standard input, in the digest's own kind.
checksum() {
  case $digest in
    sha256:* | md5:*) "${digest%%:*}sum" ;;
    *) cat >/dev/null ;;
  esac
}

# fits FILE: may it, having the right size and the checksum in sum, be the object? Sets proved.
fits() {
  case $digest in
    sha256:* | md5:*) [[ $sum == "${digest#*:}" ]] ;;
    parts:*) parts_fit "$1" || proved=no ;;
    *) proved=no ;;
  esac
}

# parts_fit FILE: is the ETag the MD5 of its parts' MD5s? S3 does not tell how long the parts were,
# but these are the lengths in use; the length of another uploader's own proves nothing either way.
parts_fit() {
  local mib at count=${digest##*-} sums all
  for mib in 8 5 16 15 25 32 50 64 100 128; do
    if (((size + (mib << 20) - 1) / (mib << 20) != count)); then continue; fi
    sums=''
    for ((at = 0; at < count; at++)); do
      sums+=$(dd if="$1" bs=1M skip="$((at * mib))" count="$mib" status=none | md5sum | sed 's/ .*//; s/../\\x&/g')
    done
    all=$(printf '%b' "$sums" | md5sum)
    if [[ parts:${all%% *}-$count == "$digest" ]]; then return 0; fi
  done
  return 1
}

# keep FILE: it is the asset from now on.
keep() {
  chmod 0444 -- "$1" && sync -- "$1" && mkdir -p -- "$path/assets/$asset" \
    && mv -fT -- "$1" "$path/assets/$asset/file"
}

# take: what the clone of the version started by hand has in the same place, if it is proved to be
# the object; by its size alone it is not, which two models of one architecture share. It is a copy
# that is proved and kept: an old script that writes to a hard link would change releases.
take() {
  local mine=$path/assets/$download.clone.partial got=0
  [[ -f $clone/$target && $(stat -Lc %s -- "$clone/$target") == "$size" ]] || return 1
  room
  if cp --reflink=auto -- "$clone/$target" "$mine"; then
    sum=$(checksum <"$mine")
    sum=${sum%% *}
    if fits "$mine" && [[ $proved == yes ]]; then
      keep "$mine" || return
      say "$target is the one in $clone: it is copied from there, not fetched"
      return 0
    fi
    say "$target in $clone is of the same size, and not proved to be the same: it is fetched"
  fi
  rm -f -- "$mine"
  proved=yes
  return 1
}

# room: a tenth more than is still to come, as a file system that is full to the brim helps nobody.
room() {
  local need=$(((size - got + size / 10) / 1024 + 1)) kb inodes percent
  make_room "$(((size - got) / 1024))" "$target"
  disk "$path/assets"
  ((kb >= need)) \
    || die "$EX_DISK" "$target needs $((need / 1024 + 1)) MB of disk, a tenth to spare included;\
 $((kb / 1024)) MB are free at $path/assets"
  ((${inodes:-100} >= 100)) \
    || die "$EX_DISK" "only $inodes inodes are free at $path/assets; $target could not be stored"
}
