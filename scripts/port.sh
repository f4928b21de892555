#!/usr/bin/env bash
# Gathers what the host says about the two slots; what it means is decided in Go. Changes nothing.
#
# Values: app, path, ports (two, blank-separated), nginx_include, verify_host, health_path, health_status, health_body
# Prints: include (absent, ours, other): the file as nginx has it on disk; open_file_cache (yes, no)
#         routed: the address nginx itself says it sent a request to, empty when our site is not loaded
#         and for each port N: flag_N (yes, no), listen_N (none, ours, foreign), who_N (for people), pid_N, enabled_N (yes, no),
#         release_N, commit_N, recipe_N, rss_mb_N

main() {
  local conf port pid start owner release dir said via
  conf=$(as_root nginx -T 2>/dev/null </dev/null) || die "$EX_CHECK" "nginx refuses its present configuration: sudo nginx -t"
  result include "$(include_state)"
  if grep -Eq '^[[:space:]]*open_file_cache[[:space:]]+max' <<<"$conf"; then result open_file_cache yes; else result open_file_cache no; fi
  # The answer may be anything; the site tells a probe from this host which address it chose.
  probe "http://127.0.0.1$health_path" "$verify_host" || :
  result routed "${via%%,*}"
  for port in $ports; do
    if [[ -e $flags/$port ]]; then result "flag_$port" yes; else result "flag_$port" no; fi
    listener "$port"
    result "listen_$port" "$owner"
    [[ $owner != foreign ]] || result "who_$port" "$(who "$port")"
    slot_pid "$port" || pid=0
    result "pid_$port" "$pid"
    result "rss_mb_$port" "$(members "$port" | sed 's,.*,/proc/&/status,' | xargs -r grep -hs '^VmRSS:' | awk '{ kb += $2 } END { print int(kb / 1024) }')"
    if has_systemd && systemctl is-enabled -q -- "$(unit_of "$port")" 2>/dev/null; then result "enabled_$port" yes; else result "enabled_$port" no; fi
    release='' dir=$path/slots/$port
    if [[ -e $dir/.deploy-action/complete ]]; then
      release=$(readlink -- "$dir")
      result "commit_$port" "$(<"$dir/.deploy-action/commit")"
      result "recipe_$port" "$(<"$dir/.deploy-action/recipe")"
    fi
    result "release_$port" "${release##*/}"
  done
}

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
  local inode uid dir
  read -r inode uid <<<"$(sockets "$1" 0A)"
  dir=$(as_root find /proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' -lname "socket:\[$inode\]" -print -quit 2>/dev/null </dev/null || :)
  dir=${dir%/fd/*}
  printf 'pid %s, user %s, command %s' "${dir##*/}" "$(id -nu "$uid" 2>/dev/null || printf '%s' "$uid")" \
    "$(tr '\0\n\r' '   ' <"${dir:-/nowhere}/cmdline" 2>/dev/null || printf 'unknown')"
}

main "$@" </dev/null
