#!/usr/bin/env bash
# Shows the last lines of the application's log, and of nginx's about its site. Changes nothing.
#
# Values: app, path, ports, port (of the active slot, or nothing), nginx_include, server_name, of
#         (app, nginx, worker:NAME and job:NAME, blank-separated), lines (how many of each log), ago
#         (seconds, in place of since, or nothing), since (seconds since the epoch, or nothing),
#         filter, filter_kind (text, regex, or nothing)
# Prints: shown (how many lines)
# Exits:  EX_CHECK when the filter is no regular expression

main() {
  local shown=0 one
  judge_filter
  if [[ -n $ago ]]; then since=$(($(date +%s) - ago)); fi
  if [[ " $of " == *' app '* ]]; then show "$path/logs/$port.log" cat; fi
  for one in $of; do
    case $one in
      worker:*) show "$path/logs/$port-${one#worker:}.log" cat ;;
      job:*) show "$path/logs/job-${one#job:}.log" cat ;;
    esac
  done
  if [[ " $of " == *' nginx '* ]]; then nginx_logs; fi
  result shown "$shown"
}

judge_filter() {
  local words status=0
  if [[ $filter_kind != regex ]]; then return; fi
  words=$(LC_ALL=C.UTF-8 grep -E -f <(printf '%s\n' "$filter") 2>&1 </dev/null) || status=$?
  ((status <= 1)) || die "$EX_CHECK" "the input log-filter is no extended regular expression: ${words##*: }"
}

# show FILE COMMAND...: the last lines that are wanted of those that the command passes on.
show() {
  local count file=$1
  say "=== $1"
  if [[ ! -e $file ]]; then file=$1.1; fi # it was moved away, and nothing has been written since
  if [[ ! -e $file ]] && { [[ -x ${1%/*} ]] || ! free_root; }; then
    say "there is no such file, as far as $(id -un) can see"
    return
  fi
  if [[ -e $file && ! -r $file ]] && ! free_root; then
    say "$(id -un) may not read it: sudo usermod -aG $(stat -c %G -- "$file") $(id -un)"
    return
  fi
  count=$(whole "$1" | "${@:2}" | recent | matching | tail -n "$lines" \
    | awk '{ print >"/dev/stderr" } END { print NR }')
  shown=$((shown + count))
  if ((count == 0)); then say "no line of it is wanted"; fi
}

# nginx_logs: the site's own, where it has some; else those that it shares, as far as their lines
# name it.
nginx_logs() {
  local kind owner file all built='' nginx
  find_nginx
  all=$(site_logs)
  built_in
  built=${built// /$'\n'}
  for kind in access error; do
    owner=own file=$(awk -v kind="$kind" '$1 == "own" && $2 == kind { print $3 }' <<<"$all")
    if [[ -z $file ]]; then
      owner=common file=$(awk -v kind="$kind" '$1 == "common" && $2 == kind { print $3; exit }' <<<"$all")
    fi
    if [[ -z $file && $kind == access ]]; then file=$(sed -n 's/^--http-log-path=//p' <<<"$built"); fi
    if [[ -z $file ]]; then file=$(sed -n 's/^--error-log-path=//p' <<<"$built"); fi
    while IFS= read -r file; do
      if [[ $owner == own ]]; then show "$file" cat; else shared "$kind" "$file"; fi
    done <<<"$file"
  done
}

# shared KIND FILE: of a log that all sites write to.
shared() {
  local name names=() ports_too=''
  for name in $server_name; do names+=("$name"); done
  if [[ $1 == access && $server_name == _ ]]; then
    say "the site has no access_log of its own, and in this one no line says for which site it is: all are shown"
    show "$2" cat
    return
  fi
  if [[ $1 == error ]]; then ports_too=$ports; fi
  say "the site has no ${1}_log of its own (a line ${1}_log FILE; in /etc/nginx/$app.d/ gives it one): of this one the \
lines that name it"
  show "$2" naming "$ports_too" "${names[@]}"
}

# naming PORTS NAME...: the lines that hold a name of the site, or are about one of its ports.
naming() {
  local port name words=()
  for port in $1; do words+=("127.0.0.1:$port/"); done
  for name in "${@:2}"; do words+=("server: $name,"); done
  if [[ -z $1 ]]; then words+=("${@:2}"); fi
  grep -a -F -f <(printf '%s\n' "${words[@]}") || [[ $? == 1 ]]
}

main "$@" </dev/null
