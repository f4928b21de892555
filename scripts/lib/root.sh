#!/usr/bin/env bash
# What runs as root. To set a host up takes all of sudo; a deployment after that makes do with a few
# commands to the letter, which the sudoers rules of this action allow. They are written here once,
# for the scripts and for the rules.
#
# Values: app, ports (two, blank-separated), processes (names in the input, blank-separated)

rules_file=/etc/sudoers.d/deploy-action-$app
rules_copy=/var/lib/deploy-action/$app/sudoers # the rules as they were written last, for all to read

nginx_test() {
  find_nginx
  as_root "${nginx[@]}" -t </dev/null
}

nginx_reload() {
  find_nginx
  as_root "${nginx[@]}" -s reload </dev/null
}

# find_nginx: sets nginx, once, to the words that call the nginx that runs here, with the
# configuration that it was started with (-c, -p). A process can give itself any title, so what one
# says counts only if it is root's, and if nobody else may write what it names; nginx_ignored is
# what does not.
find_nginx() {
  local pid title words i file
  [[ -z ${nginx[*]-} ]] || return 0
  nginx=(nginx) nginx_ignored=''
  read -r pid title < <(nginx_titles) || return 0
  if ! root_path nginx >/dev/null && file=$(as_root_or_not readlink -- "/proc/$pid/exe" 2>/dev/null) && [[ $file == */nginx ]] && file=$(roots_own "$file"); then
    nginx=("$file") # built by hand, in a folder of its own
  fi
  read -ra words <<<"$title"
  for ((i = 0; i < ${#words[@]}; i++)); do
    [[ ${words[i]} == -[cp] ]] || continue
    if file=$(roots_own "${words[i + 1]-}"); then nginx+=("${words[i]}" "$file"); else nginx_ignored=${words[*]:i:2}; fi
  done
}

# nginx_titles: pid and command line of the masters that run here, not in a container; those with
# the usual configuration before others. A /proc that hides the processes of others shows them to
# root only; without root the rules tell what they were when those were written.
nginx_titles() {
  local all pid title plain=() special=()
  all=$(masters pgrep)
  if [[ -z $all && -r $rules_copy ]]; then
    sed -nE 's,^[^ ]+ ALL=\(root\) NOPASSWD: ([^ ]*/nginx .*)-t$,0 \1,p' "$rules_copy"
    return
  fi
  if [[ -z $all && ! -r /proc/1/stat ]]; then all=$(masters as_root_or_not pgrep); fi
  while read -r pid title; do
    if [[ -z $title || $(awk '/^NSpid:/ { print NF }' "/proc/$pid/status" 2>/dev/null || :) == [3-9] ]]; then continue; fi
    if [[ $title == *' -'[cp]' '* ]]; then special+=("$pid $title"); else plain+=("$pid $title"); fi
  done <<<"$all"
  if ((${#plain[@]} + ${#special[@]} > 0)); then printf '%s\n' "${plain[@]}" "${special[@]}"; fi
}

# nginx_runs: as far as it can be seen here. all_seen: does /proc show the processes of others (it
# hides them by hidepid), or is root to be had?
nginx_runs() { [[ -n $(masters pgrep) ]] || { [[ ! -r /proc/1/stat ]] && all_seen && [[ -n $(masters as_root_or_not pgrep) ]]; }; }
all_seen() { [[ -r /proc/1/stat ]] || { ! rules_stand && free_root; }; }

# masters COMMAND...: pid and title of each, as this pgrep sees them.
masters() { { "$@" -U 0 -a -f '^nginx: master process ' || :; } 2>/dev/null </dev/null; }

# retiring_workers: how many workers of these masters are shutting down. Anybody may call a process
# so; theirs are their children.
retiring_workers() {
  local of
  of=$(masters pgrep | cut -d ' ' -f 1 | tr '\n' ,)
  if [[ -z $of ]]; then
    printf 0
  else
    pgrep -c -P "${of%,}" -f '^nginx: worker process is shutting down' || :
  fi
}

# roots_own FILE: prints its path without links if only root can write it, or put another one in its
# place. Blanks would not survive a title.
roots_own() {
  local file=$1 at
  [[ $file =~ ^/[A-Za-z0-9._/+@-]+$ ]] && file=$(realpath -e -- "$file" 2>/dev/null) || return 1
  for ((at = ${#file}; at > 0; at--)); do
    ((at == 1 || at == ${#file})) || [[ ${file:at:1} == / ]] || continue
    [[ $(stat -c '%u %A' -- "${file:0:at}") =~ ^0\ .....-..-. ]] || return 1
  done
  printf '%s' "$file"
}

unit_verbs='restart enable disable stop reset-failed'

# unit VERB INSTANCE: one of these, of a slot's unit (its port) or a worker's (PORT-NAME).
unit() {
  local words
  told "$1"
  as_root systemctl -q "${words[@]}" -- "$(unit_of "$2")" </dev/null
}

# told VERB: sets words to what systemctl gets, and so what sudo lets through. systemd goes by the
# link that enabling makes when it boots, and need not read all units again for it.
told() {
  words=("$1")
  if [[ $1 == *able ]]; then words=(--no-reload "$1"); fi
}

# rules: the text of the sudoers rules. Paths are looked up where sudo looks, not on the user's own
# PATH: what a user may write must never run as root. Fails when a command is somewhere else.
rules() {
  local user command arguments
  local -A where=()
  user=$(id -un)
  # Other names may mean something else to sudo: an alias, a group, all.
  [[ $user =~ ^[a-z_][a-z0-9_-]*$ ]] || user="#$(id -u)"
  printf '# Written by deploy-action for %s: what a deployment runs as root once the host is set up.\n' "$app"
  while read -r command arguments; do
    if [[ -z ${where[$command]-} ]]; then where[$command]=$(root_path "$command") || return; fi
    printf '%s ALL=(root) NOPASSWD: %s %s\n' "$user" "${where[$command]}" "$arguments"
  done < <(routine)
}

routine() {
  local port name verb words unit socket
  find_nginx
  printf '%s\n' "${nginx[*]} -t" "${nginx[*]} -s reload" "cmp -s -- $rules_file $rules_copy"
  has_systemd || return 0
  for port in $ports; do
    socket=$(socket_of "$port")
    for name in '' ${processes-}; do
      unit=$(unit_of "$port${name:+-$name}")
      for verb in $unit_verbs; do
        told "$verb"
        printf 'systemctl -q %s -- %s\n' "${words[*]}" "$unit"
      done
    done
    for verb in $socket_verbs; do
      told "$verb"
      printf 'systemctl -q %s -- %s\n' "${words[*]}" "$socket"
    done
  done
}

# rules_stand: are the rules in place, for these inputs? To be allowed to compare proves it to a
# user who can't read them: so there is nothing that sudo would refuse, and write down as a refusal,
# while all is as it should be.
rules_stand() {
  local wanted
  wanted=$(rules) && [[ -r $rules_copy && $(<"$rules_copy") == "$wanted" ]] \
    && as_root cmp -s -- "$rules_file" "$rules_copy" 2>/dev/null </dev/null
}

# rules_have_a_place: on a host whose sudo is like Debian's.
rules_have_a_place() { have visudo && as_root test -d "${rules_file%/*}" && rules >/dev/null; }

# free_root: may this user run anything as root? To be asked only when that is needed: what sudo
# refuses, its log keeps.
free_root() { ((EUID == 0)) || { sudo -n -l -- true && sudo -n -- true; } >/dev/null 2>&1 </dev/null; }

# as_root_or_not COMMAND...: for what root sees more of.
as_root_or_not() { if free_root; then as_root "$@"; else "$@"; fi; }

# exposed FILE: the first of it and the folders on the way, by its name and by what links make of
# it, in which this user may put something in its place; fails when only others may. In a folder
# such as /tmp nobody takes away what is another's.
exposed() {
  local at way above
  for way in "$1" "$(readlink -m -- "$1")"; do
    at=$way
    while [[ $at != / ]]; do
      above=${at%/*} above=${above:-/}
      if [[ -O $at && ! -L $at ]] || [[ -f $at && -w $at ]]; then
        printf '%s' "$at"
        return
      elif [[ ! -L $above && -w $above ]] && ! [[ -k $above && ! -O $above && (-e $at || -L $at) && ! -O $at ]]; then
        printf '%s' "$above"
        return
      fi
      at=$above
    done
  done
  return 1
}

# judge_rights FILE...: adds to faults what the login user may write where root reads configuration:
# whoever took over the application would be root by it, however few commands sudo lets the user
# run.
judge_rights() {
  local file where seen=' '
  if ((EUID == 0)); then return; fi
  for file in "$@"; do
    if ! where=$(exposed "$file") || [[ $seen == *" $where "* ]]; then continue; fi
    seen+="$where "
    faults+=("$(id -un) may write to $where, and root reads configuration there ($file), so the application could become root: sudo chown root:root $where && sudo chmod go-w $where, or choose a place that is root's")
  done
}

# sudo_words: why it is refused, such as a terminal that is required.
sudo_words() { sudo -n -- true 2>&1 </dev/null | tail -n 1 | tr -cd '[:print:]' || :; }
