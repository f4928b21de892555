#!/usr/bin/env bash
# What runs as root. To set a host up takes all of sudo; a deployment after that makes do with a few
# commands to the letter, which the sudoers rules of this action allow. They are written here once,
# for the scripts and for the rules.
#
# Values: app, ports (two, blank-separated), processes (names in the input, blank-separated),
#         job_timers (of the input, where they are written), rules_known (yes: another verb has just
#         found that the rules stand, for the same inputs; may be left out)

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
  local pid title titles=() words i file
  [[ -z ${nginx[*]-} ]] || return 0
  nginx=(nginx) nginx_ignored=''
  nginx_titles
  ((${#titles[@]} > 0)) || return 0
  read -r pid title <<<"${titles[0]}"
  if ! root_path nginx && file=$(as_root_or_not readlink -- "/proc/$pid/exe" 2>/dev/null) && [[ $file == */nginx ]] \
    && file=$(roots_own "$file"); then
    nginx=("$file") # built by hand, in a folder of its own
  fi
  read -ra words <<<"$title"
  for ((i = 0; i < ${#words[@]}; i++)); do
    [[ ${words[i]} == -[cp] ]] || continue
    if file=$(roots_own "${words[i + 1]-}"); then nginx+=("${words[i]}" "$file"); else nginx_ignored=${words[*]:i:2}; fi
  done
}

# nginx_titles: sets titles to pid and command line of the masters that run here, not in a container;
# those with the usual configuration before others. A /proc that hides the processes of others shows
# them to root only; without root the rules tell what they were when those were written.
nginx_titles() {
  local all pid title line special=()
  all=$(masters pgrep)
  masters_seen=$all
  if [[ -z $all && -r $rules_copy ]]; then
    while IFS= read -r line; do
      if [[ $line =~ ^[^\ ]+\ ALL=\(root\)\ NOPASSWD:\ ([^\ ]*/nginx\ .*)-t$ ]]; then
        titles+=("0 ${BASH_REMATCH[1]}")
      fi
    done <"$rules_copy"
    return
  fi
  if [[ -z $all && ! -r /proc/1/stat ]]; then all=$(masters as_root_or_not pgrep); fi
  while read -r pid title; do
    if [[ -z $title ]] || in_container "$pid"; then continue; fi
    if [[ $title == *' -'[cp]' '* ]]; then special+=("$pid $title"); else titles+=("$pid $title"); fi
  done <<<"$all"
  titles+=("${special[@]}")
}

# in_container PID: it has a number of its own there (proc(5), NSpid).
in_container() {
  local words
  while read -ra words; do
    if [[ ${words[0]-} == NSpid: ]]; then
      ((${#words[@]} > 2))
      return
    fi
  done 2>/dev/null <"/proc/$1/status"
  return 1
}

# nginx_runs: as far as it can be seen here; what was seen in this verb need not be looked for again.
# all_seen: does /proc show the processes of others (it hides them by hidepid), or is root to be had?
nginx_runs() {
  if [[ -z ${masters_seen-} ]]; then masters_seen=$(masters pgrep); fi
  if [[ -z $masters_seen && ! -r /proc/1/stat ]] && all_seen; then masters_seen=$(masters as_root_or_not pgrep); fi
  [[ -n $masters_seen ]]
}
all_seen() { [[ -r /proc/1/stat ]] || { ! rules_stand && free_root; }; }

# masters COMMAND...: pid and title of each, as this pgrep sees them.
masters() { { "$@" -U 0 -a -f '^nginx: master process ' || :; } 2>/dev/null </dev/null; }

# retiring_workers: how many workers of these masters are shutting down. Anybody may call a process
# so; theirs are their children.
retiring_workers() {
  local all of='' pid
  all=$(masters pgrep)
  while read -r pid _; do of+=${pid:+$pid,}; done <<<"$all"
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
  local words unit_name
  told "$1"
  unit_of "$2"
  as_root systemctl -q "${words[@]}" -- "$unit_name" </dev/null
}

# timer VERB NAME.HASH
timer() {
  local words
  told "$1"
  as_root systemctl -q "${words[@]}" -- "$app.job.$2.timer" </dev/null
}

# told VERB: sets words to what systemctl gets, and so what sudo lets through. systemd goes by the
# link that enabling makes when it boots, and need not read all units again for it.
told() {
  words=("$1")
  if [[ $1 == *able ]]; then words=(--no-reload "$1"); fi
}

# rules: sets rules_text to that of the sudoers rules. Paths are looked up where sudo looks, not on the user's own
# PATH: what a user may write must never run as root. Fails when a command is somewhere else.
rules() {
  local user=$me one commands=() file
  # Other names may mean something else to sudo: an alias, a group, all.
  [[ $user =~ ^[a-z_][a-z0-9_-]*$ ]] || user="#$EUID"
  rules_text="# Written by deploy-action for $app: what a deployment runs as root once the host is set up."
  routine
  for one in "${commands[@]}"; do
    root_path "${one%% *}" || return
    rules_text+=$'\n'"$user ALL=(root) NOPASSWD: $file ${one#* }"
  done
}

# routine: sets commands to them.
routine() {
  local port name verb words unit_name socket_name file times
  find_nginx
  commands=("${nginx[*]} -t" "${nginx[*]} -s reload" "cmp -s -- $rules_file $rules_copy")
  has_systemd || return 0
  for port in $ports; do
    socket_of "$port"
    for name in '' ${processes-}; do
      unit_of "$port${name:+-$name}"
      for verb in $unit_verbs; do
        told "$verb"
        commands+=("systemctl -q ${words[*]} -- $unit_name")
      done
    done
    for verb in $socket_verbs; do
      told "$verb"
      commands+=("systemctl -q ${words[*]} -- $socket_name")
    done
  done
  for file in "/etc/systemd/system/$app.job."*.timer; do
    if written_by_us "$file"; then timer_commands "${file##*/}"; fi
  done
  while read -r name times && [[ -n $name ]]; do
    if [[ ! -e /etc/systemd/system/$app.job.$name.timer ]]; then timer_commands "$app.job.$name.timer"; fi
  done <<<"${job_timers-}"
}

timer_commands() {
  for verb in restart enable disable stop; do
    told "$verb"
    commands+=("systemctl -q ${words[*]} -- $1")
  done
}

# rules_stand: are the rules in place, for these inputs? To be allowed to compare proves it to a
# user who can't read them: so there is nothing that sudo would refuse, and write down as a refusal,
# while all is as it should be. It is asked once in a verb, which writes them after that if at all.
rules_stand() {
  local rules_text
  if [[ -z ${standing-} ]]; then
    standing=no
    if [[ ${rules_known-} == yes ]] || { rules && has_text "$rules_copy" "$rules_text" && rules_agree; }; then
      standing=yes
    fi
  fi
  [[ $standing == yes ]]
}

# rules_agree: are they what was written last? That was asked already, or is now.
rules_agree() {
  local agree=''
  if [[ -z ${rules_fd-} ]]; then
    as_root cmp -s -- "$rules_file" "$rules_copy" 2>/dev/null </dev/null
    return
  fi
  read -r -u "$rules_fd" agree || :
  exec {rules_fd}<&-
  rules_fd=''
  [[ $agree == yes ]]
}

# ask_rules: begins to ask that, while something else is done, where the rules of before allow it.
ask_rules() {
  local there
  if [[ -n ${standing-}${rules_fd-} || ${rules_known-} == yes ]]; then return; fi
  content "$rules_copy"
  if [[ $there == *$'\n'"$me ALL=(root) NOPASSWD: "*"/cmp -s -- $rules_file $rules_copy"* ]]; then
    exec {rules_fd}< <(as_root cmp -s -- "$rules_file" "$rules_copy" 2>/dev/null </dev/null && printf 'yes\n')
  fi
}

# rules_have_a_place: on a host whose sudo is like Debian's.
rules_have_a_place() {
  local rules_text
  have visudo && as_root test -d "${rules_file%/*}" && rules
}

# free_root: may this user run anything as root? To be asked only when that is needed: what sudo
# refuses, its log keeps.
free_root() { ((EUID == 0)) || { sudo -n -l -- true && sudo -n -- true; } >/dev/null 2>&1 </dev/null; }

# as_root_or_not COMMAND...: for what root sees more of.
as_root_or_not() { if free_root; then as_root "$@"; else "$@"; fi; }

# sudo_words: why it is refused, such as a terminal that is required.
sudo_words() { sudo -n -- true 2>&1 </dev/null | tail -n 1 | tr -cd '[:print:]' || :; }
