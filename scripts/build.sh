#!/usr/bin/env bash
# Makes a fetched release ready to start; its marker file is written last, by assets.sh if the release has assets.
#
# Values: app, path, lock_token, step_wait, release, build (a command, or nothing for a venv from requirements.txt), start_file (the text of what the unit runs), more (yes, no: assets follow before the release is complete)
# Prints: built (command, venv, reused, nothing)
# Exits:  EX_BUILD when the command or pip fails

main() {
  local dir=$path/releases/$release
  own_lock
  cd -- "$dir"
  if [[ -n $build ]]; then
    nice -n 10 bash -c "$build" >&2 || die "$EX_BUILD" "the build command exited with status $?"
    result built command
  elif [[ -f requirements.txt ]]; then
    venv
  else
    result built nothing
  fi
  printf '%s\n' "$start_file" | write .deploy-action/start 0755
  [[ $more == yes ]] || mark_complete
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

# requirements FILE: its text and that of the files it names. A requirement that is a path is the release's own code: then no other
# release may share the venv.
requirements() {
  local line word
  cat -- "$1"
  while IFS= read -r line || [[ -n $line ]]; do
    word=${line#*[= ]}
    case $line in
      -r* | -c* | --requirement* | --constraint*) if [[ -f $word ]]; then requirements "$word"; fi ;;
      -e* | --editable* | .* | /* | *file:*) printf '%s\n' "$release" ;;
    esac
  done <"$1"
}

main "$@" </dev/null
