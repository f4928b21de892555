#!/usr/bin/env bash
# The virtual environments of releases.
#
# Values: path, release

# venv: one for each interpreter and set of requirements, shared by the releases that have both. It
# can't be renamed into place, as its scripts name its own folder, so a marker written last says
# that it is whole; without the marker it is made again.
venv() {
  local key dir before kills serving kb inodes percent
  key=$({ python3 -VV && command -v python3 && uname -m && requirements requirements.txt; } | sha256sum)
  dir=$path/venvs/${key:0:16}
  if [[ -e $dir/.complete ]]; then
    say "requirements unchanged: venv ${dir##*/} is reused"
    result built reused
  else
    rm -rf -- "$dir"
    serving_kb .venv
    make_room "$serving" "a new venv" "$kb"
    oom_kills
    before=$kills
    nice -n 10 python3 -m venv -- "$dir" >&2 || die "$EX_BUILD" "python3 -m venv failed"
    if ! nice -n 10 "$dir/bin/python" -m pip install --no-input --disable-pip-version-check --no-color \
      --no-cache-dir --progress-bar off -r requirements.txt >&2; then
      if starved "$before"; then die "$EX_MEMORY" "the host ran out of memory, and the kernel ended pip: \
$(memory_words)"; fi
      die "$EX_BUILD" "pip could not install requirements.txt"
    fi
    sync -f "$dir"
    write "$dir/.complete" 0644 ''
    result built venv
  fi
  if [[ -d .venv && ! -L .venv ]]; then
    say "the .venv of the repository is not used, since it was made on another machine: leave it out, by .gitignore"
    delete .venv
  fi
  ln -sfnT -- "../../venvs/${dir##*/}" .venv
}

# locked: makes a virtual environment with the tool whose lock file the release has; fails when it
# has none. Without the tool it ends the script: an application that lacks what it needs would only
# fail later.
locked() {
  local file tool
  for file in uv.lock poetry.lock Pipfile.lock; do
    [[ -f $file ]] || continue
    case $file in
      uv.lock) tool='uv sync --frozen --no-dev' ;;
      poetry.lock) tool='POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install --only main --no-interaction' ;;
      *) tool='PIPENV_VENV_IN_PROJECT=1 pipenv sync' ;;
    esac
    user_command "$tool" || die "$EX_BUILD" "the release has a $file and no requirements.txt, and \`$tool\` exited \
with status $?: install that tool on the PATH of the host, write a requirements.txt, or give the input build"
    return 0
  done
  return 1
}

# shellcheck disable=SC2094 # a file that names itself is read once
# requirements FILE: its text and that of the files it names, which pip takes relative to it. What
# is a path, or names nothing we can read, is the release's own: then no other release may share the
# venv.
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
