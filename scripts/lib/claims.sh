#!/usr/bin/env bash
# Which ports the applications of this action have on the host, the idle ones too.
#
# Values: app

# claims: "PORT APP" of each, by the site as it was written last and by the rules for sudo, both of
# which all may read.
claims() {
  local file other
  for file in /var/lib/deploy-action/*/site.conf /var/lib/deploy-action/*/sudoers; do
    [[ -r $file ]] || continue
    other=${file%/*} other=${other##*/}
    sed -nE "s/^[[:blank:]]*server 127\\.0\\.0\\.1:([0-9]+)[ ;].*/\\1 $other/p; s/.* $other@([0-9]+)\\.service\$/\\1 $other/p" "$file"
  done | sort -u
}

# claimed PORT: sets other to the other application that has it in its pair, and mine (yes, no) to
# whether this one has it there from before.
claimed() {
  other=$(awk -v port="$1" -v app="$app" '$1 == port && $2 != app { print $2; exit }' <<<"$claims")
  mine=no
  if [[ $'\n'$claims$'\n' == *$'\n'"$1 $app"$'\n'* ]]; then mine=yes; fi
}
