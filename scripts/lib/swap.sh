#!/usr/bin/env bash
# A swap file, for a host without swap.
#
# Values: swap (its size in MB, or nothing)

swap_file=/var/lib/deploy-action/swap
fstab=/etc/fstab

# lacks_swap: is some wanted, and none there? Another's is as good, whatever its size.
lacks_swap() {
  local there
  [[ -n $swap ]] && mapfile -t there </proc/swaps && ((${#there[@]} < 2))
}

# make_swap FILE: it is there after a reboot, too. Whole or not at all: no half of it stays on the
# disk.
make_swap() {
  local free words kb inodes percent
  as_root install -d -m 0755 -- "${1%/*}"
  disk "${1%/*}"
  free=$((kb / 1024))
  ((free >= swap + 512)) \
    || die "$EX_CHECK" "a swap file of $swap MB (input swap) needs as much disk and 512 MB to spare, and $free MB are \
free at ${1%/*}"
  as_root rm -f -- "$1"
  if ! words=$(fill "$1" 2>&1) || ! words=$(as_root swapon -- "$1" 2>&1 </dev/null); then
    as_root rm -f -- "$1"
    die "$EX_CHECK" "no swap could be made (${words//$'\n'/ }): take the input swap out where the host is a container \
or its file system takes no swap file, and give it more memory instead"
  fi
  say "swap of $swap MB is in $1"
  if ! grep -qs "^$1[[:blank:]]" "$fstab"; then
    {
      cat -- "$fstab" 2>/dev/null || :
      printf '%s none swap sw 0 0\n' "$1"
    } | write_root "$fstab" 0644
  fi
}

# fill FILE: room that is there at once, where the file system can do that, and else written out: a
# swap file has no holes.
fill() {
  as_root touch -- "$1" && as_root chmod 0600 -- "$1" \
    && { as_root fallocate -l "${swap}M" -- "$1" \
      || as_root dd if=/dev/zero of="$1" bs=1M count="$swap" status=none; } 2>/dev/null \
    && as_root mkswap -- "$1" </dev/null
}
