#!/usr/bin/env bash
# Makes a release of what the runner has sent and of the files that a release on the host has
# unchanged.
#
# Values: app, path, lock_token, transfer (the folder of the offer), base (a release, or nothing;
#         then with `lines` in it), identity (SHA-256 of the manifest), share (yes: the files of
#         base are linked, no: copied), compressed (yes, no), release, recipe, sha (the commit that
#         the workflow runs for)
# Prints: ready (yes: the runner may send), received (yes)
# Exits:  EX_RECEIVE when what came is not what was sent, or does not add up to the identity
#
# The stream is a tar, which never lies on the disk. Two lists in it turn `lines` into the manifest
# of the new release: paths that go, and lines that come. A line is kind (f, d, l), mode, size,
# SHA-256 or target of a link, and path, between tabs; the lines are sorted by their bytes.

main() {
  partial=$path/releases/$release.partial
  own_lock
  expendable
  own=$partial/.deploy-action
  if [[ -e $partial || -L $partial ]]; then rm -rf -- "$partial"; fi
  mkdir -- "$partial"
  if [[ $compressed == yes ]]; then unpack=-xzf; else unpack=-xf; fi
  # 128 KiB at a time: by default tar reads and writes 10, which keeps a processor busy with system
  # calls.
  nice -n 10 tar -b 256 "$unpack" - -C "$partial" --no-same-owner --delay-directory-restore <"$transfer/stream" &
  unpacking=$! # which pause makes another one
  result ready yes
  watch "$unpacking"
  wait "$unpacking" || die "$EX_RECEIVE" "what was sent could not be unpacked"
  [[ -n $base ]] || : >"$transfer/lines"
  awk -F '\t' 'minus { gone[$0]; next } !($5 in gone)' minus=1 "$own/minus" minus=0 "$transfer/lines" >"$transfer/kept"
  sort -m -- "$transfer/kept" "$own/plus" >"$transfer/manifest"
  [[ $(sha256sum <"$transfer/manifest") == "$identity  -" ]] \
    || die "$EX_RECEIVE" "what was sent and what is here do not add up to the release"

  cd -- "$partial"
  paths d | xargs -r -d '\n' mkdir -p --
  if [[ -s $transfer/kept ]]; then
    cd -- "$path/releases/$base"
    # A link costs nothing. It is safe as long as nobody writes to the file in place: a shared file
    # has no write permission.
    if [[ $share == yes ]]; then
      paths f | xargs -r -d '\n' nice -n 10 cp --no-dereference --link --parents -t "$partial" --
    else
      paths f | xargs -r -d '\n' nice -n 10 cp --no-dereference --preserve=mode,timestamps --reflink=auto \
        --parents -t "$partial" --
    fi
  fi
  find "$partial" -mindepth 1 -path "$own" -prune -o -printf '%y\t%m\t%s\t%l\t%P\t%i\t%T@\n' >"$transfer/found"
  complete || die "$EX_RECEIVE" "the release is not what its manifest says"
  rm -f -- "$own/minus" "$own/plus"
  gzip -1 <"$transfer/manifest" >"$own/manifest"
  awk -F '\t' '$1 == "f" { print $6, $2, $3, $7 "\t" $5 }' "$transfer/found" \
    | sort >"$own/seal" # as seal has it, without another look at the files
  printf '%s\n' "$identity" >"$own/commit"
  lay "$own/recipe" 0600 "$recipe"$'\n'
  printf '%s\n' "$sha" >"$own/sha"
  [[ -e $path/releases/$release/.deploy-action/complete ]] \
    || rm -rf -- "$path/releases/$release" # of this run, when its answer was lost
  mv -T -- "$partial" "$path/releases/$release"
  result received yes
}

# cleanup: who sends must not wait for ever for a reader that will not come: a pipe that is opened
# at both ends lets go.
cleanup() {
  : <>"$transfer/stream" || :
  rm -rf -- "$transfer" "$partial" 2>/dev/null
}

# watch PID: returns when it has ended. The runner's death ends it: the deploy lock is then
# nobody's.
watch() {
  local holder
  while kill -0 "$1" 2>/dev/null; do
    holder=''
    read -r holder 2>/dev/null <"$path/.lock.holder" || :
    if [[ $holder != "$lock_token" ]]; then kill -- "$1" 2>/dev/null || :; fi
    pause 0.02
  done
}

# paths KIND: those that are taken from the host, a line each: none has a line break in it.
paths() { awk -F '\t' -v kind="$1" '$1 == kind { print $5 }' "$transfer/kept"; }

# complete: does the folder hold just what the manifest says, by kind, mode, size and target?
# Contents were checked on the way: the runner hashed what it sent, SSH lets no bit of it change,
# and the seal vouches for what was here.
complete() {
  awk -F '\t' '
    function is(kind, mode, size, target) {
      return kind FS (kind == "l" ? "-" : mode) FS (kind == "f" ? size : kind == "l" ? target : "-") }
    !found { of[$5] = is($1, $2, $3, $4); lines++; next }
    of[$5] != is($1, $2, $3, $4) { exit wrong = 1 }
    { lines-- }
    END { exit wrong || lines != 0 }' found=0 "$transfer/manifest" found=1 "$transfer/found"
}

main "$@" </dev/null
