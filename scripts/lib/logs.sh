#!/usr/bin/env bash
# Which logs there are, and which of their lines are wanted.
#
# Values: app, path, nginx_include, since (seconds since the epoch, or nothing), filter,
#         filter_kind (text, regex, or nothing)

# whole FILE: with what was rotated away from it, as far as that is not packed; oldest first, and no
# more than the last 256 MB. Some logs only root may read.
whole() {
  local file
  for file in "$1.2" "$1.1" "$1"; do
    if [[ -r $file ]]; then cat -- "$file"; elif [[ -e $file ]]; then as_root_or_not cat -- "$file"; fi
  done | tail -c 268435456
}

# recent: of the lines on standard input those since then. A line without a time of its own belongs
# to the one before it.
recent() {
  if [[ -z $since ]]; then
    cat
    return
  fi
  awk -v since="$since" -v zone="$(date -d "@$since" +%z)" '
    function days(y, m, d) {
      if (m <= 2) { y--; m += 12 }
      return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + d - 719469
    }
    function epoch(day, clock, zone,   t) {
      gsub(/:/, "", zone)
      t = day * 86400 + substr(clock, 1, 2) * 3600 + substr(clock, 4, 2) * 60 + substr(clock, 7, 2)
      return t - (substr(zone, 1, 1) == "-" ? -1 : 1) * (substr(zone, 2, 2) * 3600 + substr(zone, 4, 2) * 60)
    }
    function when(s,   t, z, m) {
      if (match(s, /[0-9][0-9][0-9][0-9][-\/][0-9][0-9][-\/][0-9][0-9][T _][0-9][0-9]:[0-9][0-9]:[0-9][0-9]/)) {
        t = substr(s, RSTART, RLENGTH); z = substr(s, RSTART + RLENGTH); sub(/^[.,][0-9]+/, "", z)
        if (z ~ /^Z/) z = "+0000"; else if (z !~ /^ ?[-+][0-9][0-9]:?[0-9][0-9]/) z = zone
        sub(/^ /, "", z)
        return epoch(days(substr(t, 1, 4) + 0, substr(t, 6, 2) + 0, substr(t, 9, 2) + 0), substr(t, 12), z)
      }
      if (match(s, "[0-9][0-9]/[A-Z][a-z][a-z]/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9][0-9] " \
        "[-+][0-9][0-9][0-9][0-9]")) {
        t = substr(s, RSTART, RLENGTH)
        m = (index("JanFebMarAprMayJunJulAugSepOctNovDec", substr(t, 4, 3)) + 2) / 3
        return epoch(days(substr(t, 8, 4) + 0, m, substr(t, 1, 2) + 0), substr(t, 13, 8), substr(t, 22))
      }
      return ""
    }
    {
      t = when(substr($0, 1, 160))
      if (t != "") { keep = t >= since; if ($0 !~ /^=== /) dated++ } else undated++
      if (keep) print
    }
    END {
      if (!dated && undated) print "its lines have no time of their own, so the input log-since goes by the starts " \
        "of the application" >"/dev/stderr"
    }'
}

# matching: of the lines on standard input those that the filter wants.
matching() {
  local how=-F status=0
  if [[ -z $filter_kind ]]; then
    cat
    return
  fi
  if [[ $filter_kind == regex ]]; then how=-E; fi
  # On no argument list, and with the host's letters, not bytes.
  LC_ALL=C.UTF-8 timeout 120 grep -a "$how" -f <(printf '%s\n' "$filter") || status=$?
  ((status <= 1))
}

# site_logs: prints "own" or "common", "access" or "error", and the path of each log: own are those
# that the site's server block names, or a file that it includes for the user's own directives.
site_logs() {
  nginx_texts | awk -v include="$nginx_include" -v folder="/etc/nginx/$app.d/" '
    function add(words,   kind, line) {
      gsub(/["\047]/, "", words[2])
      if (words[2] !~ /^\// || words[2] ~ /[$]|^\/dev\//) return
      kind = words[1] == "access_log" ? "access" : "error"
      line = kind " " words[2]
      if (index(file, folder) == 1) print "own " line
      else if (server) logs = logs "own " line "\n"
      else print "common " line
    }
    /^# configuration file / { file = $4; sub(/:$/, "", file); next }
    {
      sub(/(^|[ \t])#.*/, "")
      n = length($0)
      for (i = 1; i <= n; i++) {
        c = substr($0, i, 1)
        if (c != ";" && c != "{" && c != "}") { text = text c; continue }
        sub(/^[ \t]+/, "", text)
        split(text, words, /[ \t]+/)
        if (c == "{") { depth++; if (words[1] == "server" && !server) { server = depth; logs = ""; ours = 0 } }
        else if (c == "}") { if (depth == server) { if (ours) printf "%s", logs; server = 0 } depth-- }
        else if (words[1] == "access_log" || words[1] == "error_log") add(words)
        else if (words[1] == "include" && words[2] == include) ours = 1
        text = ""
      }
      text = text " "
    }' | sort -u
}
