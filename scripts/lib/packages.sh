#!/usr/bin/env bash
# What the host's distribution provides.
#
# Values: setup, may_install (yes, later, no), packages, needs

dpkg_folder=/var/lib/dpkg

# package_of COMMAND: sets package to the Debian packages that bring it.
package_of() {
  case $1 in
    python3) package='python3 python3-venv' ;;
    flock) package=util-linux ;;
    pgrep) package=procps ;;
    awk) package=mawk ;;
    xargs) package=findutils ;;
    sync | timeout | sha256sum) package=coreutils ;;
    cmp | diff) package=diffutils ;;
    *) package=$1 ;;
  esac
}

# how_to_install PACKAGE...: for people, where apt is there to do it.
how_to_install() { if have apt-get; then printf ': apt-get install -y %s' "$*"; fi; }

# not_found STATUS: for people, what that may mean.
not_found() {
  if (($1 == 127)); then
    printf ' (a command or file in it was not found; if this host lacks it, name its package in the input packages)'
  fi
}

# found COMMAND: is it there? An nginx that was built by hand may run from a folder of its own.
found() {
  if [[ $1 == nginx ]]; then
    find_nginx
    have "${nginx[0]}"
  else
    have "$1"
  fi
}

# installed PACKAGE: does dpkg know it as installed?
installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' -- "$1" 2>/dev/null </dev/null) == installed ]]; }

# lacking: the packages that are wanted and not there.
lacking() {
  local cmd name package
  for cmd in $needs; do
    if found "$cmd"; then continue; fi
    package_of "$cmd"
    printf '%s\n' "$package"
  done
  # The venv module is a package of the interpreter's own version: python3.12-venv on Ubuntu 24.04.
  if has_python && [[ $python == *' '* ]]; then
    printf '%s\n' "python${python%% *}-venv"
  fi
  for name in $packages; do
    installed "$name" || printf '%s\n' "$name"
  done
}

# find_halfway: sets halfway to those of the packages that are wanted, and of what they depend on,
# whose installation was cut off: dpkg has unpacked them and not set them up. Their commands may be
# there already. halfway_words says so for people, nginx_halfway those that nginx needs; torn are
# those that are not even unpacked. Where no package at all is like that, dpkg's own files tell
# soonest: what it has not merged into the first yet is in the others.
find_halfway() {
  local cmd name state of package wants='' family=no
  halfway=() torn=() halfway_words='' nginx_halfway=''
  have dpkg-query && have awk || return 0
  grep -Eqs '^Status: .* (unpacked|half-)' "$dpkg_folder"/{status,updates/*} </dev/null || return 0
  for cmd in $needs; do
    package_of "$cmd"
    if [[ $cmd != nginx ]]; then wants+="$package "; fi
  done
  # One that was built by hand does not come from the package of that name.
  if [[ " $needs " == *' nginx '* ]]; then
    find_nginx
    if [[ ${nginx[0]} == nginx && $(type -P nginx) != @(/usr/local|/opt)/* ]]; then family=yes; fi
  fi
  while read -r name state of; do
    halfway+=("$name")
    if [[ $state == half-installed ]]; then torn+=("$name"); fi
    halfway_words+="${halfway_words:+, }$name ($state)"
    if [[ $of == nginx ]]; then nginx_halfway+="${nginx_halfway:+, }$name ($state)"; fi
  done < <(dpkg-query -W -f='${db:Status-Status}\t${Package}\t${Pre-Depends},${Depends}\t${Provides}\n' 2>/dev/null \
    </dev/null | cut_off "$family" "$wants $packages" || :)
}

# cut_off NGINX WANTS: those of the packages on standard input, in dpkg's order, that are not set up,
# with their state, and whether nginx needs them (yes: it is a package) or others.
cut_off() {
  awk -F '\t' -v family="$1" -v wants="$2" '
    function reach(of,  i, n, parts, name) {
      while (count > 0) {
        name = todo[count--]
        if (name in reached) continue
        reached[name] = of
        n = split(needs[name], parts, /[,|]/)
        for (i = 1; i <= n; i++) {
          sub(/^ +/, "", parts[i])
          sub(/[ (:].*$/, "", parts[i])
          if (parts[i] != "") todo[++count] = parts[i]
        }
        for (i = split(givers[name], parts, " "); i > 0; i--) todo[++count] = parts[i]
      }
    }
    {
      needs[$2] = $3
      n = split($4, parts, ",")
      for (i = 1; i <= n; i++) {
        sub(/^ +/, "", parts[i])
        sub(/[ (].*$/, "", parts[i])
        givers[parts[i]] = givers[parts[i]] " " $2
      }
    }
    $1 == "unpacked" || $1 == "half-configured" || $1 == "half-installed" { cut[++cuts] = $2; state[cuts] = $1 }
    family == "yes" && $2 ~ /^(nginx|nginx-(common|core|full|light|extras|module-.*)|libnginx-mod-.*)$/ {
      todo[++count] = $2
    }
    wants ~ /(^| )python3 / && $2 ~ /^python3\.[0-9]+-venv$/ { wants = wants " " $2 }
    END {
      if (cuts == 0) exit
      reach("nginx")
      count = split(wants, todo, " ")
      reach("others")
      for (i = 1; i <= cuts; i++) if (cut[i] in reached) print cut[i], state[i], reached[cut[i]]
    }'
}

# find_lacks: sets lacks to the packages that are wanted and not there, or not wholly.
find_lacks() {
  local name
  lacks=()
  find_halfway
  has_python || :
  read -ra lacks -d '' < <(lacking) || :
  for name in "${halfway[@]}"; do
    if [[ " ${lacks[*]} " != *" $name "* ]]; then lacks+=("$name"); fi
  done
}

# present: those of them that are there.
present() {
  local cmd name package wants=$packages
  for cmd in $needs; do
    package_of "$cmd"
    wants+=" $package"
  done
  for name in $wants; do
    if installed "$name"; then printf '%s\n' "$name"; fi
  done
}

# apt_has_lists: has apt ever fetched what there is? A new cloud image has not.
apt_has_lists() {
  local lists=(/var/lib/apt/lists/*_Packages*)
  [[ -e ${lists[0]} ]]
}

# apt_knows PACKAGE: has one of its lists a version of it? Where there is none, that can't be told,
# and nothing is held against the name.
apt_knows() {
  ! have apt-cache || ! apt_has_lists \
    || [[ -n $(apt-cache show --no-all-versions -- "$1" 2>/dev/null </dev/null || :) ]]
}

# not_in_lists PACKAGE: adds to faults that apt has no such package.
not_in_lists() {
  faults+=("apt's lists on this host have no package $1: correct the input packages, or add the source that has it and \
run sudo apt-get update")
}

# install_missing: installs what lacks, finishes what an installation that was cut off has left, and
# with setup=always brings up to date what is there, where there is apt. Sets brought (the packages
# that came), refusal (apt's own words, when it did not get through), and coming (what is left to be
# installed later). What it can't mend is found by the checks that follow.
install_missing() {
  local lacks=() wanted=() concerned before try tries=3
  local options=(-o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0
    -o APT::Cmd::Pattern-Only=true) # else what it does not know is a regular expression to it
  local install=(install --yes --no-install-recommends)
  brought='' refusal='' coming=''
  [[ $setup != never ]] && have apt-get || return 0
  find_lacks
  if [[ -n $halfway_words ]]; then
    say "not wholly installed, by an apt that was cut off or still runs: $halfway_words"
  fi
  find_wanted
  ((${#wanted[@]} > 0)) || return 0
  free_root || {
    say "nothing can be installed: $(id -un) can't run all commands as root without a password"
    return 0
  }
  if [[ $may_install != yes ]]; then
    coming=${lacks[*]}
    return
  fi
  concerned=("${wanted[@]}")
  before=$(versions "${concerned[@]}")
  if ((${#halfway[@]} > 0)); then
    say "finishing ${halfway[*]}"
    set_up_halfway || :
    find_lacks
    find_wanted
    # Where each command is there, the host may do as it is, as after a package's own script that
    # fails each time: that is not worth waiting for.
    if [[ $setup != always && -z $(lacking) ]]; then
      tries=1
      # What only others need wholly may be in another apt's hands just now.
      if [[ $nginx_halfway != *nginx* ]]; then wanted=(); fi
    fi
  fi
  if ((${#wanted[@]} > 0 && ${#lacks[@]} > 0)); then say "installing ${lacks[*]}"; fi
  for ((try = 1; ${#wanted[@]} > 0 && try <= tries; try++)); do
    refusal=''
    # A lock that somebody holds is waited for. A list of packages that can't be had may not matter;
    # the installation tells. And dpkg is given no terminal, on which it would draw its progress,
    # for the log a line at a time. One that is torn is at the newest version for apt, so it is named
    # apart.
    apt apt-get "${options[@]}" update || :
    if { ((${#torn[@]} == 0)) || apt apt-get "${options[@]}" "${install[@]}" --reinstall -- "${torn[@]}"; } \
      && apt apt-get "${options[@]}" "${install[@]}" -- "${wanted[@]}"; then
      refusal=''
      break
    fi
    say "apt did not get through (try $try of $tries)"
    # An installation that was cut off has to be finished first; it may not have come to all that is
    # needed.
    set_up_halfway || apt apt-get "${options[@]}" -o Dpkg::Options::=--force-confold "${install[@]}" --fix-broken \
      --no-remove || pause "$((try * 2))"
  done
  if have nginx && ! nginx_runs; then
    if has_systemd; then
      as_root systemctl enable --now --quiet nginx </dev/null >&2 || :
    else
      as_root nginx </dev/null >&2 || :
    fi
  fi
  if ((${#halfway[@]} > 0)); then find_halfway; fi
  brought=$(comm -13 <(printf '%s\n' "$before") <(versions "${concerned[@]}") | cut -d ' ' -f 1 | tr '\n' ' ')
  brought=${brought% }
}

# find_wanted: sets wanted to what apt is asked for.
find_wanted() {
  wanted=("${lacks[@]}")
  if [[ $setup == always && $may_install == yes ]]; then
    read -ra wanted -d '' < <(printf '%s\n' "${lacks[@]}" && present) || :
  fi
}

# set_up_halfway: sets up all that dpkg has unpacked. Of a file of configuration that somebody has
# edited, theirs stays: nobody is there to be asked.
set_up_halfway() { apt dpkg --force-confold --configure -a; }

# versions PACKAGE...: those that are installed, with their versions.
versions() {
  dpkg-query -W -f='${Package} ${Version} ${db:Status-Status}\n' -- "$@" 2>/dev/null </dev/null \
    | sed -n 's/ installed$//p' | sort || :
}

# apt COMMAND...: no questions, no pager, no service restarted behind our back but those that are
# installed. Its complaints are added to refusal.
apt() {
  local status=0 said
  python=''
  said=$(as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 "$@" 2>&1 </dev/null \
    | tee >(cat >&2) | sed -nE '/^([EW]:|dpkg: error)/p' | tail -n 3) || status=$?
  refusal+=${said:+${said//$'\n'/ } }
  return "$status"
}

# judge_packages: adds to faults which of those that are wanted besides are not there. What is coming
# has been looked at before.
judge_packages() {
  local name
  for name in $packages; do
    if installed "$name"; then
      ok "package $name"
    elif [[ -n $coming ]]; then
      continue
    elif ! apt_knows "$name"; then
      not_in_lists "$name"
    elif have dpkg-query; then
      faults+=("package $name is not installed$(how_to_install "$name")")
    else
      faults+=("package $name can't be looked up, since this host has no dpkg: install what it brings, and take it out \
of the input packages")
    fi
  done
}

# has_python: is it there, where it is needed? Sets python, until packages change, to its version, and
# which of the modules that make a virtual environment it has not; all, where it does not run.
has_python() {
  [[ " $needs " == *" python3 "* ]] && have python3 || return
  [[ -n ${python-} ]] || python=$(python3 -ISc 'import sys, importlib.util as u
print("%d.%d" % sys.version_info[:2], *(name for name in ("venv", "ensurepip") if not u.find_spec(name)))') \
    || python='3 venv'
}

# judge_python: adds to faults that it can make no virtual environment.
judge_python() {
  has_python || return 0
  if [[ $python != *' '* ]]; then
    ok "venv module of python $python"
  elif [[ -z $coming ]]; then
    faults+=("python3 has no venv module$(how_to_install "python${python%% *}-venv")")
  fi
}

# os: prints the result of that name, for people.
os() {
  local there name=unknown said=$'\nPRETTY_NAME=["\']?([^"\'\n]*)'
  content /etc/os-release
  if [[ $'\n'$there =~ $said ]]; then name=${BASH_REMATCH[1]:-unknown}; fi
  result os "$name"
}
