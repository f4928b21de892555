#!/usr/bin/env bash
# Gathers what the host says about the two slots; what it means is decided in Go. Changes nothing.
#
# Values: app, path, ports (two, blank-separated), nginx_include, verify_host
# Prints: include (absent, ours, other): the file as nginx has it on disk
#         routed: where nginx itself says it sends requests, empty when our site is not loaded
#         strays: flags of ports outside the pair, blank-separated
#         and for each port N: flag_N (yes, no), listen_N (none, ours, foreign), who_N (for people), pid_N, enabled_N (yes, no),
#         release_N, commit_N, recipe_N, proved_N (yes, no: it has served and come through its probation), rss_mb_N

main() {
  local port pid start owner release dir strays routed
  result include "$(include_state)"
  routed=$(nginx_says "$verify_host")
  result routed "${routed%% *}"
  strays=$(find "$flags" -type f -name '[0-9]*' -printf '%f\n' 2>/dev/null | grep -vxF -e "${ports% *}" -e "${ports#* }" || :)
  result strays "${strays//$'\n'/ }"
  for port in $ports; do
    result "flag_$port" "$(yes_if test -e "$flags/$port")"
    listener "$port"
    result "listen_$port" "$owner"
    [[ $owner != foreign ]] || result "who_$port" "$(who "$port")"
    slot_pid "$port" || pid=0
    result "pid_$port" "$pid"
    result "rss_mb_$port" "$(members "$port" | sed 's,.*,/proc/&/status,' | xargs -r grep -hs '^VmRSS:' | awk '{ kb += $2 } END { print int(kb / 1024) }')"
    result "enabled_$port" "$(yes_if is_enabled "$port")"
    release='' dir=$path/slots/$port
    if [[ -e $dir/.deploy-action/complete ]]; then
      release=$(readlink -- "$dir")
      result "commit_$port" "$(<"$dir/.deploy-action/commit")"
      result "recipe_$port" "$(<"$dir/.deploy-action/recipe")"
    fi
    result "proved_$port" "$(yes_if test -e "$dir/.deploy-action/live")"
    result "release_$port" "${release##*/}"
  done
}

yes_if() { if "$@"; then printf 'yes'; else printf 'no'; fi; }

is_enabled() { has_systemd && systemctl is-enabled -q -- "$(unit_of "$1")" 2>/dev/null; }

include_state() {
  if [[ ! -e $nginx_include ]]; then
    printf 'absent'
  elif grep -Fq "$flags/" "$nginx_include"; then
    printf 'ours'
  else
    printf 'other'
  fi
}

# who PORT: pid, user and command line of whatever listens, as far as this user may know.
who() {
  local inode uid dir root=''
  read -r inode uid <<<"$(sockets "$1" 0A)"
  if free_root; then root=as_root; fi
  dir=$($root find /proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' -lname "socket:\[$inode\]" -print -quit 2>/dev/null </dev/null || :)
  dir=${dir%/fd/*}
  printf 'pid %s, user %s, command %s' "$(basename -- "${dir:-unknown}")" "$(id -nu "$uid" 2>/dev/null || printf '%s' "$uid")" \
    "$(tr '\0\n\r' '   ' <"${dir:-/nowhere}/cmdline" 2>/dev/null || printf 'unknown')"
}

main "$@" </dev/null
