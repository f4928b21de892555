#!/usr/bin/env bash
# Makes a fetched release ready to start; its marker file is written last, by assets.sh if the release has assets.
#
# Values: app, path, lock_token, release, build (a command, or nothing for a venv from requirements.txt), shared (paths,
#         blank-separated), start_file and environment (the texts of what the unit runs, and of what it reads first),
#         more (yes, no: assets follow before the release is complete), clone (of a version started by hand, or nothing)
# Prints: built (command, venv, reused, nothing)
# Exits:  EX_BUILD when the command or pip fails

main() {
  local dir=$path/releases/$release name
  own_lock
  cd -- "$dir"
  for name in $shared; do share "$name"; done
  if [[ -n $build ]]; then
    # Not on an argument list, where a secret in it would show; and what it leaves running is not this step.
    nice -n 10 bash <(printf '%s\n' "$build") {step_fd}>&- >&2 || die "$EX_BUILD" "the build command exited with status $?$(not_found "$?")"
    result built command
  elif [[ -f requirements.txt ]]; then
    venv
  else
    result built nothing
  fi
  printf '%s\n' "$start_file" | write .deploy-action/start 0755
  printf '%s' "$environment" | write .deploy-action/environment 0600
  [[ $more == yes ]] || mark_complete
}

# share NAME: a link in the release to what all releases share. The first has it from the clone of the version started by hand, which keeps
# its own; or the first release that has something there gives it away.
share() {
  local kept=$path/shared/$1 parent
  mkdir -p -- "$(dirname -- "$kept")" "$(dirname -- "$1")"
  parent=$(readlink -f -- "$(dirname -- "$1")")
  [[ $parent/ == "$PWD"/* ]] || die "$EX_BUILD" "shared path $1 leads out of the release: $parent"
  if [[ ! -e $kept && ! -L $kept && -n $clone && -e $clone/$1 ]]; then
    rm -rf -- "$kept.partial"
    if [[ -L $clone/$1 ]]; then ln -sT -- "$(readlink -f -- "$clone/$1")" "$kept.partial"; else cp -aT --reflink=auto -- "$clone/$1" "$kept.partial"; fi \
      || die "$EX_BUILD" "shared path $1 could not be copied from $clone"
    mv -T -- "$kept.partial" "$kept"
    say "shared: $1 was copied from $clone; releases share the copy from now on"
  fi
  if [[ ! -e $kept && ! -L $kept ]]; then
    if [[ -e $1 ]]; then
      mv -T -- "$1" "$kept"
      say "shared: $1 of this release is what all releases share from now on"
    elif [[ ${1##*/} != *.* ]]; then
      mkdir -- "$kept"
    fi
  elif [[ -e $1 || -L $1 ]]; then
    rm -rf -- "$1"
  fi
  ln -sT -- "$kept" "$1"
}

# venv: one for each interpreter and set of requirements, shared by the releases that have both. It can't be renamed into place, as its
# scripts name its own folder, so a marker written last says that it is whole; without the marker it is made again.
venv() {
  local key dir
  key=$({ python3 -VV && command -v python3 && uname -m && requirements requirements.txt; } | sha256sum)
  dir=$path/venvs/${key:0:16}
  if [[ -e $dir/.complete ]]; then
    say "requirements unchanged: venv ${dir##*/} is reused"
    result built reused
  else
    rm -rf -- "$dir"
    nice -n 10 python3 -m venv -- "$dir" >&2 || die "$EX_BUILD" "python3 -m venv failed"
    nice -n 10 "$dir/bin/python" -m pip install --no-input --disable-pip-version-check --no-color --progress-bar off \
      -r requirements.txt >&2 || die "$EX_BUILD" "pip could not install requirements.txt"
    sync -f "$dir"
    : | write "$dir/.complete" 0644
    result built venv
  fi
  ln -sfnT -- "../../venvs/${dir##*/}" .venv
}

# shellcheck disable=SC2094 # a file that names itself is read once
# requirements FILE: its text and that of the files it names, which pip takes relative to it. What is a path, or names nothing we can read, is
# the release's own: then no other release may share the venv.
requirements() {
  local line word
  [[ " ${seen-} " != *" $1 "* ]] || return 0
  seen+=" $1"
  cat -- "$1"
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    line=${line%%[[:blank:]]#*}
    if [[ $line =~ ^[[:blank:]]*# ]]; then continue; fi
    if [[ $line =~ ^[[:blank:]]*(-r|-c|--requirement|--constraint)[[:blank:]=]*([^[:blank:]]+) ]]; then
      word=${BASH_REMATCH[2]}
      [[ $word == /* ]] || word=$(dirname -- "$1")/$word
      if [[ -f $word ]]; then requirements "$word"; else printf '%s\n' "$release"; fi
    elif [[ $line =~ ^[[:blank:]]*(-e|--editable|\.|/)|file:|^[^:@]*/ ]]; then
      printf '%s\n' "$release"
    fi
  done <"$1"
}

main "$@" </dev/null
