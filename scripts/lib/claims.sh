#!/usr/bin/env bash
# Which ports the applications of this action have on the host, the idle ones too.
#
# Values: app

# claims: sets claims to "PORT APP" of each, a line each, by the site as it was written last and by the
# rules for sudo, both of which all may read.
claims() {
  local file other line port lines
  claims=''
  for file in /var/lib/deploy-action/*/site.conf /var/lib/deploy-action/*/sudoers; do
    [[ -r $file ]] || continue
    other=${file%/*} other=${other##*/}
    mapfile -t lines <"$file"
    port=none
    for line in "${lines[@]}"; do
      if [[ $line != *127.0.0.1:* && $line != *"$other"@*.service ]]; then continue; fi
      if [[ $line == *"$other@$port.service" ]]; then continue; fi # as the line before
      port=''
      if [[ $line =~ ^[[:blank:]]*server\ 127\.0\.0\.1:([0-9]+)[\ \;] ]]; then port=${BASH_REMATCH[1]}; fi
      if [[ $line =~ \ "$other"@([0-9]+)\.service$ ]]; then port=${BASH_REMATCH[1]}; fi
      if [[ -n $port && $'\n'$claims$'\n' != *$'\n'"$port $other"$'\n'* ]]; then
        claims+=${claims:+$'\n'}"$port $other"
      fi
    done
  done
}

# claimed PORT: sets other to the other application that has it in its pair, and mine (yes, no) to
# whether this one has it there from before.
claimed() {
  local port name
  other='' mine=no
  while read -r port name; do
    if [[ $port != "$1" ]]; then continue; fi
    if [[ $name == "$app" ]]; then mine=yes; elif [[ -z $other || $name < $other ]]; then other=$name; fi
  done <<<"$claims"
}
