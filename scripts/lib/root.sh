#!/usr/bin/env bash
# What runs as root. To set a host up takes all of sudo; a deployment after that makes do with a few commands to the letter, which the sudoers
# rules of this action allow. They are written here once, for the scripts and for the rules.
#
# Values: app, ports (two, blank-separated)

rules_file=/etc/sudoers.d/deploy-action-$app
rules_copy=/var/lib/deploy-action/$app/sudoers # the rules as they were written last, for all to read

nginx_test() { as_root nginx -t </dev/null; }
nginx_reload() { as_root nginx -s reload </dev/null; }

unit_verbs='restart enable disable stop reset-failed'

# unit VERB PORT: one of these, of a slot's unit.
unit() { as_root systemctl -q "$1" -- "$(unit_of "$2")" </dev/null; }

# rules: the text of the sudoers rules. Paths are looked up where sudo looks, not on the user's own PATH: what a user may write must never run as
# root. Fails when a command is somewhere else.
rules() {
  local user command arguments PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  user=$(id -un)
  # Other names may mean something else to sudo: an alias, a group, all.
  [[ $user =~ ^[a-z_][a-z0-9_-]*$ ]] || user="#$(id -u)"
  printf '# Written by deploy-action for %s: what a deployment runs as root once the host is set up.\n' "$app"
  while read -r command arguments; do
    command=$(type -P -- "$command") || return
    printf '%s ALL=(root) NOPASSWD: %s %s\n' "$user" "$command" "$arguments"
  done < <(routine)
}

routine() {
  local port verb
  printf '%s\n' 'nginx -t' 'nginx -s reload' "cmp -s -- $rules_file $rules_copy"
  has_systemd || return 0
  for port in $ports; do
    for verb in $unit_verbs; do printf 'systemctl -q %s -- %s\n' "$verb" "$(unit_of "$port")"; done
  done
}

# rules_stand: are the rules in place, for these inputs? To be allowed to compare proves it to a user who can't read them: so there is nothing
# that sudo would refuse, and write down as a refusal, while all is as it should be.
rules_stand() {
  local wanted
  wanted=$(rules) && [[ -r $rules_copy && $(<"$rules_copy") == "$wanted" ]] && as_root cmp -s -- "$rules_file" "$rules_copy" 2>/dev/null </dev/null
}

# rules_have_a_place: on a host whose sudo is like Debian's.
rules_have_a_place() { have visudo && as_root test -d "${rules_file%/*}" && rules >/dev/null; }

# free_root: may this user run anything as root? To be asked only when that is needed: what sudo refuses, its log keeps.
free_root() { ((EUID == 0)) || { sudo -n -l -- true && sudo -n -- true; } >/dev/null 2>&1 </dev/null; }

# as_root_or_not COMMAND...: for what root sees more of.
as_root_or_not() { if free_root; then as_root "$@"; else "$@"; fi; }
