#!/usr/bin/env bash
# Says whether a deployment can run here, naming everything that is missing at once. Changes nothing
# but, where setup and may_install say so, installs what is missing; what can be installed later is
# no fault, but said.
#
# Values: path, setup (auto, always, never), may_install (yes; later: by this run, when all else is
#         known to be right; no), packages (wanted besides, blank-separated), needs (commands,
#         blank-separated), clock (the runner's, seconds since the epoch), list (yes: name also what
#         is right), server_name, verify_host, nginx_include, https (yes: is asked for)
# Prints: note_N, one for each thing that the owner of the host should know; site_folder: where the
#         site goes; one_socket (ports) and hostless (see judge_nginx); rules, certificate and
#         site_certificate (see tell_site); installed, coming (packages: what a deployment would
#         install), os, systemd (yes, no), ipv6 (yes, no), nginx (version, or nothing where it is
#         coming), realip (yes, no: nginx tells from where a connection really comes), disk_mb,
#         disk_used (percent), occupied (by what, for people, where it is asked for or the disk is
#         nearly full), memory_mb (free), memory_total_mb, swap_mb, skew (seconds) or fault_N, one
#         for each thing that is missing or wrong
# Exits:  EX_CHECK after faults

main() {
  local faults=() notes=() known=() rooted=yes cmd name version folder=$path site_folder one_socket hostless
  local built='' free kb inodes percent now package
  judge_nginx
  judge_port
  judge_access "$nginx_include" "$site_folder/$app.conf" /etc/nginx/nginx.conf "/etc/systemd/system/$app@.service" \
    "$rules_file" "/var/lib/deploy-action/$app/maintenance.conf"
  # On a host that has to be put right first nothing is installed.
  if ((${#faults[@]} > 0)) && [[ $may_install == yes ]]; then may_install=no; fi
  install_missing
  result installed "$brought"
  result coming "$coming"
  if [[ -n $refusal && -n $(lacking) ]]; then faults+=("apt did not get through: $refusal"); fi
  for cmd in $needs; do
    if found "$cmd"; then
      ok "$cmd"
    elif [[ -z $coming ]]; then
      package_of "$cmd"
      faults+=("$cmd is not installed$(how_to_install "$package")")
    fi
  done
  for name in $coming; do
    # What the lists lack may come with the next ones, which are fetched before anything is
    # installed.
    if [[ $may_install == later || " ${halfway[*]} " == *" $name "* ]] || apt_knows "$name"; then
      known+=("$name")
    else
      not_in_lists "$name"
    fi
  done
  if ((${#known[@]} > 0)); then
    say "missing, and installed by a deployment: ${known[*]}$(apt_has_lists \
      || printf ' (apt has fetched no lists yet, so it may not know all of them)')"
  fi
  if ((EUID > 0)) && rules_stand; then
    ok "the sudoers rules in $rules_file: a routine deployment needs no others"
  elif free_root; then
    ok "root without a password"
    if [[ $list == yes ]] && ((EUID > 0)); then say "missing, and written by the next deployment: $rules_file"; fi
  else
    rooted=no
    faults+=("$(id -un) can't run commands as root without a password (sudo says: $(sudo_words)), and $rules_file, \
which would be enough, is not there or is for other inputs (app $app, ports $ports): give it a NOPASSWD rule for all \
commands; after one run with operation: setup that can go again")
  fi
  judge_python
  judge_packages
  if found nginx && [[ $rooted == yes ]]; then judge_running; fi
  for name in "${!notes[@]}"; do result "note_$name" "${notes[name]}"; done
  if ((${#faults[@]} > 0)); then
    for name in "${!faults[@]}"; do result "fault_$name" "${faults[name]}"; done
    die "$EX_CHECK" "this host is not fit for a deployment yet"
  fi

  os
  if has_systemd; then result systemd yes; else result systemd no; fi
  if [[ -e /proc/net/if_inet6 ]]; then result ipv6 yes; else result ipv6 no; fi
  tell_site
  if found nginx; then built_in; fi
  version=${built%%$'\n'*} version=${version##*nginx/}
  result nginx "${version%% *}"
  if [[ -n $built && $built != *--with-http_realip_module* ]]; then result realip no; else result realip yes; fi
  while [[ ! -d $folder ]]; do folder=${folder%/*} folder=${folder:-/}; done
  disk "$folder"
  free=$((kb / 1024))
  result disk_mb "$free"
  result disk_used "$percent"
  # Adding up takes time, where releases are large.
  if [[ $list == yes ]] || ((percent > 80 || free < 1024)); then result occupied "$(sizes)"; else result occupied ''; fi
  memory_results
  printf -v now '%(%s)T' -1
  result skew "$((now - clock))"
}

ok() { if [[ $list == yes ]]; then say "ok: $1"; fi; }

main "$@" </dev/null
