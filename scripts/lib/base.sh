#!/usr/bin/env bash
# What every verb shares. Sent in front of the verb's own text; never run alone.
#
# The values a verb names in its header stand above this text as shell variables, and so do the exit
# codes (EX_*), both written by Go. Standard output carries key=value results, standard error words
# for people.
#
# A process costs the host more than all else that a verb does, so what a function finds it mostly
# does not print: it sets the variable that its comment names ("sets NAME"), which its caller has
# made local. `$(…)`, a pipe and `< <(…)` are for what takes a program, and for text that is looked
# at once in a while.
#
# Values: app, tag (in front of each result; nothing where a verb runs by itself)
set -euo pipefail

# What a login has put into the environment is for the commands of the workflow, which get it back,
# and changes none of our own tools, as TAR_OPTIONS, GIT_DIR or a function by the name of one would.
# Proxies, certificates and pip's settings are the host's own.
login_environment=''
mapfile -d '' -t variables </proc/self/environ
if [[ -n ${BASH_ENV-} ]]; then mapfile -t -O "${#variables[@]}" variables < <(compgen -e); fi # and what that exports
if [[ -n ${BASH_ENV-} || ${variables[*]} == *BASH_FUNC_* ]]; then
  while read -r _ _ variable; do unset -f "$variable"; done < <(declare -Fx)
fi
for variable in "${variables[@]%%=*}"; do
  case $variable in
    HOME | USER | LOGNAME | SHELL | PATH | PWD | SHLVL | SHELLOPTS | BASHOPTS | LANG | LC_ALL | TZ | TERM | TMPDIR | \
      XDG_RUNTIME_DIR) ;;
    _ | SSH_* | *_proxy | *_PROXY | PIP_* | UV_* | SSL_CERT_* | *_CA_BUNDLE) ;;
    '' | [0-9]* | *[!A-Za-z0-9_]*) ;; # none of the shell's
    *)
      if [[ ! -v $variable || ${!variable@a} != *x* ]]; then continue; fi
      login_environment+=${!variable@A}$'\n'
      unset -v "$variable"
      ;;
  esac
done
unset -v variable variables
unset -v TMOUT 2>/dev/null || : # what is read here has limits of its own, or none

export LC_ALL=C
umask 022
PATH=$PATH:/usr/sbin:/sbin # a login user's PATH has no sbin on Debian

say() { printf '%s\n' "$*" >&2 || :; }

# result KEY VALUE: one fact for Go. A value is one line; anything else is a bug here, so it ends
# the script.
result() {
  case $2 in *$'\n'* | *$'\r'*) die 1 "bug in deploy-action: result $1 holds a line break" ;; esac
  if [[ -n ${results_fd-} ]]; then
    { printf '%s=%s\n' "$1" "$2" >&"$results_fd"; } 2>/dev/null || results_fd='' # then they are not kept
  fi
  printf '%s%s=%s\n' "${tag:+$tag }" "$1" "$2" || :
}

# result_if KEY COMMAND...: yes where the command succeeds, else no.
result_if() { if "${@:2}"; then result "$1" yes; else result "$1" no; fi; }

# die CODE WORDS: the last words, and the exit code Go decides by.
die() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

((BASH_VERSINFO[0] >= 5)) || die "$EX_CHECK" "bash $BASH_VERSION is too old; version 5 is needed"

# as_root COMMAND...: sudo gets the command's path, since its own secure_path may lack a folder,
# such as sbin.
as_root() {
  local file
  if ((EUID == 0)); then
    "$@"
  else
    root_path "$1" || file=$1
    sudo -n -- "$file" "${@:2}"
  fi
}

# root_path COMMAND: sets file to where it lies in the folders that are root's; fails when it is in
# none. A login user's own PATH has no say in what root runs.
declare -A root_paths=() # where it was found before
root_path() {
  local folder
  file=${root_paths[$1]-}
  if [[ -n $file ]]; then return; fi
  file=$1
  if [[ $1 == */* ]]; then
    [[ -f $1 && -x $1 ]]
    return
  fi
  for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
    file=$folder/$1
    if [[ -f $file && -x $file ]]; then
      root_paths[$1]=$file
      return
    fi
  done
  return 1
}

have() { command -v "$1" >/dev/null 2>&1; }

has_systemd() { [[ -d /run/systemd/system ]]; }

# unit_of INSTANCE: sets unit_name, of a slot by its port, or of what runs beside it by PORT-NAME. No
# application has a point in its name, so the second can be no other one's.
unit_of() { if [[ $1 == *-* ]]; then unit_name=$app.process@$1.service; else unit_name=$app@$1.service; fi; }

# finish_alone: whoever listened may be gone: the work is still finished, for the run to find when it
# is back.
finish_alone() {
  on_pipe=:
  trap : PIPE
}

# properties UNIT NAME...: sets property to what systemd says of a unit, by these names; to nothing of
# what it does not say.
declare -A property=()
properties() {
  local shown
  ask_systemd "${*:2}" "$1"
  next_unit
  exec {shown}<&-
}

# await_end UNIT: sets property to how its main process has ended. Where systemd has started it again
# by now, which forgets that, its next end is waited for, for some seconds.
await_end() {
  local end
  now_ms
  end=$((ms + 5000))
  properties "$1" Result ExecMainCode ExecMainStatus ActiveState
  while [[ ${property[ExecMainCode]} == 0 && ${property[ActiveState]} == activ* ]] && ! past "$end"; do
    pause 0.1
    properties "$1" Result ExecMainCode ExecMainStatus ActiveState
  done
}

# ask_systemd NAMES UNIT...: the same of several: next_unit sets property for each in turn, and shown
# is to be closed after the last.
ask_systemd() {
  local name asked=()
  property=()
  for name in $1; do asked+=(-p "$name") property[$name]=''; done
  exec {shown}< <(systemctl show "${asked[@]}" -- "${@:2}" 2>/dev/null </dev/null)
}

next_unit() {
  local name value
  for name in "${!property[@]}"; do property[$name]=''; done
  while IFS='=' read -r -u "$shown" name value && [[ -n $name ]]; do property[$name]=$value; done
}

# first_line FILE: sets line to its first one; to nothing, and fails, where it can't be read.
first_line() {
  line=''
  { IFS= read -r line || [[ -n $line ]]; } 2>/dev/null <"$1"
}

# content FILE: sets there to its text, without NULs and the ends of lines behind it; to nothing where
# it can't be read.
content() {
  local parts=()
  { mapfile -td '' parts <"$1" || :; } 2>/dev/null
  printf -v there %s "${parts[@]}"
  while [[ $there == *$'\n' ]]; do there=${there%?}; done
}

# has_text FILE TEXT: is that all it has?
has_text() {
  local there
  content "$1"
  [[ $there == "$2" ]]
}

# written_by_us FILE: does one of its lines say so?
written_by_us() {
  local there
  [[ -f $1 ]] && content "$1" && [[ $'\n'$there == *$'\n# Written by deploy-action'* ]]
}

# me: this user's name.
me='\u' me=${me@P}

flags=/var/lib/deploy-action/$app/active
closed_by=$flags/.maintenance.html # while it is there the site is in maintenance

# now_ms: sets ms to the milliseconds since the boot, without a process. A clock that jumps must not
# end a wait, or make it last.
now_ms() {
  local up
  read -r up _ </proc/uptime
  ms=$((10#${up/./} * 10))
}

# past TIME: is it that late (milliseconds, now_ms)?
past() {
  now_ms
  ((ms >= $1))
}

# epoch_ms: sets ms to the milliseconds since the epoch, for people and for the runner.
epoch_ms() {
  ms=${EPOCHREALTIME/[.,]/}
  ms=${ms%???}
}

# utc_now: sets utc to the time of day, for people.
utc_now() { TZ=UTC0 printf -v utc '%(%FT%TZ)T' -1; }

# pause SECONDS: the interval of a poll, without a process. Only loops that test a condition may
# call it.
pause() {
  if [[ -z ${pause_fd-} ]]; then exec {pause_fd}<> <(:); fi
  read -rt "$1" -u "$pause_fd" _ || :
}

# pace BEGIN: pauses between two looks at what has been awaited since then (milliseconds, now_ms):
# each look costs the host processor time, which what is awaited may need.
pace() { if past "$(($1 + 2000))"; then pause 0.25; else pause 0.1; fi; }
