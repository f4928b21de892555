#!/usr/bin/env bash
# Makes a fetched release ready to start; its marker file is written last, by assets.sh if the
# release has assets.
#
# Values: app, path, lock_token, release, build (a command, or nothing for a venv from
#         requirements.txt), shared (paths, blank-separated), start_file and environment (the texts
#         of what the unit runs, and of what it reads first), more (yes, no: assets follow before
#         the release is complete), clone (of a version started by hand, or nothing), takes_socket
#         (yes, no: how the start command listens), process_lines and procfile (see
#         lib/processes.sh), job_lines (see lib/jobs.sh)
# Prints: built (command, venv, reused, nothing), kept (how many releases stay, where the disk has
#         no room for more), processes (names of what runs beside the process that serves),
#         timers (those of its jobs)
# Exits:  EX_BUILD when the command or pip fails, EX_MEMORY when it does for want of memory

main() {
  local dir=$path/releases/$release name workers timers
  if [[ -n $build ]]; then ask_locale; fi
  own_lock
  expendable
  cd -- "$dir"
  for name in $shared; do share "$name"; done
  if [[ -n $build ]]; then
    user_command "$build" || die "$EX_BUILD" "the build command exited with status $?$(not_found "$?")"
    result built command
  elif [[ -f requirements.txt ]]; then
    venv
  elif locked; then
    result built command
  else
    result built nothing
  fi
  lay .deploy-action/start 0755 "$start_file"$'\n'
  lay .deploy-action/environment 0600 "$environment"
  if [[ $takes_socket == yes ]]; then lay .deploy-action/socket 0644 ''; fi
  write_processes
  result processes "$workers"
  write_jobs
  result timers "$timers"
  # shellcheck disable=SC2086 # names
  may_handle $workers
  [[ $more == yes ]] || mark_complete
}

# share NAME: a link in the release to what all releases share. The first has it from the clone of
# the version started by hand, which keeps its own; or the first release that has something there
# gives it away.
share() {
  local kept=$path/shared/$1 parent
  mkdir -p -- "$(dirname -- "$kept")" "$(dirname -- "$1")"
  parent=$(readlink -f -- "$(dirname -- "$1")")
  [[ $parent/ == "$PWD"/* ]] || die "$EX_BUILD" "shared path $1 leads out of the release: $parent"
  if [[ ! -e $kept && ! -L $kept && -n $clone && -e $clone/$1 ]]; then
    rm -rf -- "$kept.partial"
    if [[ -L $clone/$1 ]]; then
      ln -sT -- "$(readlink -f -- "$clone/$1")" "$kept.partial"
    else
      cp -aT --reflink=auto -- "$clone/$1" "$kept.partial"
    fi || die "$EX_BUILD" "shared path $1 could not be copied from $clone"
    set_down "$kept.partial"
    say "shared: $1 was copied from $clone; releases share the copy from now on"
  fi
  if [[ ! -e $kept && ! -L $kept ]]; then
    if [[ -e $1 ]]; then
      set_down "$1"
      say "shared: $1 of this release is what all releases share from now on"
    elif [[ ${1##*/} != *.* ]]; then
      mkdir -- "$kept"
    fi
  elif [[ -e $1 || -L $1 ]]; then
    rm -rf -- "$1"
  fi
  ln -sT -- "$kept" "$1"
}

# set_down FILE: what has its name is whole, also after a power cut.
set_down() {
  sync -f .
  mv -T -- "$1" "$kept"
}

main "$@" </dev/null
