#!/usr/bin/env bash
# Which server block nginx answers a request with, as its configuration has it.
#
# Values: app, nginx_include

# chosen ADDRESS NAME: sets found to the server block that nginx chooses for a request
# (nginx.org/en/docs/http/request_processing.html): its place, whether it is ours, by what it was
# chosen (name, wildcard, regex, default, first), and its listens and names. ADDRESS is as rows have
# it. What a regular expression fits is not known here: it stands for maybe.
chosen() {
  local question=$'\n'"$1 $2"$'\t' all=$'\n'${choice-}
  if [[ $all != *"$question"* ]]; then all=$'\n'$(choices "$1"$'\t'"$2"); fi
  all=${all#*"$question"}
  IFS=$'\t' read -ra found <<<"${all%%$'\n'*}"
}

# choices PAIRS: prints the same for each of the lines "ADDRESS\tNAME", behind "ADDRESS NAME" and a
# tab, its words separated by tabs. Who keeps that in choice spares chosen a process for each of
# them.
choices() {
  awk -F '\t' -v OFS='\t' '
    function listens(i, a,   n, parts, k) {
      n = split(L[i], parts, " ")
      for (k = 1; k <= n; k++) if (parts[k] == a || index(parts[k], a "/") == 1) return parts[k]
      return ""
    }
    function ends(s, e) { return length(s) > length(e) && substr(s, length(s) - length(e) + 1) == e }
    function rank(i,   n, names, k, m, best) {
      n = split(N[i], names, " ")
      for (k = 1; k <= n; k++) {
        m = tolower(names[k])
        if (m == asked || m == "." asked) return 90000
        if (m ~ /^\*\./) m = substr(m, 2)
        if (m ~ /^\./ && ends(asked, m)) best = (best > 60000 + length(m)) ? best : 60000 + length(m)
        if (m ~ /\.\*$/ && index(asked, substr(m, 1, length(m) - 1)) == 1)
          best = (best > 30000 + length(m)) ? best : 30000 + length(m)
        if (m ~ /^~/ && best < 20000) best = 20000 # which may fit
      }
      if (best) return best
      return listens(i, group) ~ /\/default/ ? 10000 : 1
    }
    function choose(address, name,   port, pass, i, r, most, found, by) {
      asked = tolower(name); port = address; sub(/.*:/, "", port)
      group = address
      for (pass = 1; pass <= 3 && !found; pass++) {
        for (i = 1; i <= n; i++) if (listens(i, group) != "") { r = rank(i); if (r > most) { most = r; found = i } }
        if (!found) { if (pass == 1 && address !~ /^\[/) group = "*:" port; else group = "[::]:" port }
      }
      by = (most >= 90000) ? "name" : (most >= 30000) ? "wildcard" : (most >= 20000) ? "regex" \
        : (most >= 10000) ? "default" : "first"
      if (found) print address " " name, P[found], O[found], by, L[found], N[found]
      else print address " " name, ""
    }
    !table { if ($0 == "") table = 1; else { q++; A[q] = $1; W[q] = $2 }; next }
    $1 == "server" { n++; P[n] = $2 ":" $3; O[n] = $4; L[n] = $5; N[n] = $6 }
    END { for (k = 1; k <= q; k++) choose(A[k], W[k]) }' <<<"$1"$'\n\n'"$rows"
}

# block PLACE OURS HOW LISTENS NAMES: a server block, for people.
block() { printf '%s (listen %s; server_name %s)' "$1" "$(sed 's,/default,,g; s,/, ,g' <<<"$4")" "$5"; }

# came_to: sets came to the host's address that SSH came to, as rows have it; nothing when that is its loopback.
came_to() {
  local address
  read -r _ _ address _ <<<"${SSH_CONNECTION-}"
  case $address in
    '' | 127.* | ::1) came='' ;;
    *:*) came=[${address%%%*}]:80 ;;
    *) came=$address:80 ;;
  esac
}

# who_answers ELSEWHERE NAME: the block that does, as nginx has it on the disk, if it neither is
# ours nor includes ours; else nothing. ELSEWHERE is as routed_for_all has it.
who_answers() {
  local rows found including faults=() address='*:80'
  if [[ $1 == 'the address '* ]]; then address=${1##* }:80; fi
  look_at_nginx
  levels
  chosen "$address" "$2"
  if [[ ${found[1]-yes} == no && ${found[2]} != regex && " $including" != *" ${found[0]} "* ]]; then
    block "${found[@]}"
  fi
}
