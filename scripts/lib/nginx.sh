#!/usr/bin/env bash
# nginx's configuration as it lies on the disk: its files, and the server blocks and includes in
# them.
#
# Values: app, nginx_include

# nginx_texts: every file of the configuration, each under a line with its name, as `nginx -T` has
# them. Root has nginx print them; who has only the rights for routine deployments, or a
# configuration that nginx refuses, reads them as nginx would. Bounded, as what is looked at is a
# host's. Who calls it in a process of its own has called find_nginx and built_in before.
nginx_texts() {
  find_nginx
  built_in
  { root_prints_texts || walk_texts; } | head -c 8388608
}

root_prints_texts() {
  local all
  if ((EUID > 0)); then { ! rules_stand && free_root; } || return 1; fi
  all=$(as_root "${nginx[@]}" -T 2>/dev/null </dev/null | tr -d '\0') && printf '%s\n' "$all"
}

walk_texts() {
  local queue seen=' ' file there pattern conf patterns IFS=
  nginx_conf
  queue=("$conf")
  while ((${#queue[@]} > 0 && ${#seen} < 100000)); do
    file=${queue[0]} queue=("${queue[@]:1}")
    [[ $seen != *" $file "* && -f $file && -r $file ]] || continue
    seen+="$file "
    content "$file"
    printf '# configuration file %s:\n%s\n\n' "$file" "$there"
    includes
    for pattern in "${patterns[@]}"; do
      [[ $pattern == /* ]] || pattern=${conf%/*}/$pattern
      # shellcheck disable=SC2206 # what it may stand for; itself, where there is nothing
      queue+=($pattern)
    done
  done
}

# includes: sets patterns to that of each include in there, which is the file's text.
includes() {
  local line entries pattern comment='^[[:blank:]]*#' include='(^|[;{}[:blank:]])include[[:blank:]]+([^;]+);'
  patterns=()
  if [[ $there != *include* ]]; then return; fi
  { mapfile -t entries <"$file"; } 2>/dev/null || return 0 # a text of our own would be read byte by byte
  for line in "${entries[@]}"; do
    if [[ $line != *include* || $line =~ $comment ]]; then continue; fi
    while [[ $line =~ $include ]]; do
      line=";${line#*"${BASH_REMATCH[0]}"}" pattern=${BASH_REMATCH[2]//[\"\']/}
      patterns+=("${pattern%"${pattern##*[![:blank:]]}"}")
    done
  done
}

# ask_ahead: begins to ask what know_nginx wants to know, while something else is done.
ask_ahead() {
  local file
  if [[ -z ${built-} && -z ${version_fd-} ]] && root_path nginx; then exec {version_fd}< <(nginx -V 2>&1 </dev/null); fi
  if ((EUID > 0)); then ask_rules; fi
}

# know_nginx: sets nginx, standing and built.
know_nginx() {
  ask_ahead
  find_nginx
  if ((EUID > 0)); then rules_stand || :; fi # which is asked once
  built_in
}

# built_in: sets built, once, to what nginx says of its version and of how it was built.
built_in() {
  if [[ -n ${built-} ]]; then return; fi
  if [[ -n ${version_fd-} && ${nginx[0]} == nginx ]]; then
    IFS= read -rd '' -u "$version_fd" built || :
    exec {version_fd}<&-
    version_fd=''
  else
    built=$("${nginx[0]}" -V 2>&1 </dev/null) || :
  fi
}

# nginx_conf: sets conf to the path of its main file, as it was started or built. Needs built.
nginx_conf() {
  local prefix='' i
  conf=''
  if [[ " ${built//$'\n'/ } " =~ \ --prefix=([^\ ]*)\  ]]; then prefix=${BASH_REMATCH[1]}; fi
  for ((i = 1; i < ${#nginx[@]}; i++)); do
    case ${nginx[i - 1]} in
      -c) conf=${nginx[i]} ;;
      -p) prefix=${nginx[i]} ;;
    esac
  done
  if [[ -z $conf && " ${built//$'\n'/ } " =~ \ --conf-path=([^\ ]*)\  ]]; then conf=${BASH_REMATCH[1]}; fi
  [[ ${conf:=/etc/nginx/nginx.conf} == /* ]] || conf=${prefix%/}/$conf
}

# nginx_rows: reads such texts; prints a line for each thing of http's, its fields separated by
# tabs:
#   http FILE LINE
#   server FILE LINE OURS LISTENS NAMES
#           each of LISTENS is ADDRESS:PORT of TCP and after slashes what of default,
#           proxy_protocol, ipv6only=… it has; a dash stands for none
#   file FILE
#   include FILE LINE OURS LEVEL PATTERN PLACE
#           LEVEL is such as http, http/server or http/server/location; PLACE is FILE:LINE of the
#           server block
#   hostless PLACE
#           a location of that block passes requests on to what a variable names, and says no Host:
#           the application gets the one of proxy_pass. One that is said further up counts if it
#           stands before the location
# OURS is yes in a file that this action wrote for the application. An include is followed into the
# files of its pattern, so that a block is known for what it is wherever it lies.
nginx_rows() {
  # shellcheck disable=SC2016 # these are awk's
  awk -v app="$app" '
    function add(token, mark) { T[f, ++N[f]] = token; M[f, N[f]] = mark; L[f, N[f]] = lines }
    function cut(s,   rest) { # into tokens; what a quote that is still open holds is kept for the next line
      if (open != "") s = open "\n" s
      open = ""
      while (1) {
        sub(/^[ \t\r]+/, "", s)
        if (s == "" || s ~ /^#/) return
        if (match(s, /^[{};]/)) add(substr(s, 1, 1), 1)
        else if (s ~ /^["\047]/) {
          if (s ~ /^"/) match(s, /^"([^"\\]|\\.|\\\n)*"/)
          else match(s, /^\047([^\047\\]|\\.|\\\n)*\047/)
          if (RLENGTH < 0) {
            if (length(s) < 65536) open = s
            return
          }
          add(substr(s, 2, RLENGTH - 2), 0)
        } else {
          match(s, /^([^ \t\r;{\\$]|\\.|[$][{]?|\\$)+/)
          add(substr(s, 1, RLENGTH), 0)
        }
        s = substr(s, RLENGTH + 1)
      }
    }
    function glob(p) { # as a regular expression
      gsub(/[.+^$(){}|\\]/, "\\\\&", p)
      gsub(/[*]/, "[^/]*", p)
      gsub(/[?]/, "[^/]", p)
      return "^" p "$"
    }
    function level(   i, s) {
      for (i = 1; i <= depth; i++) s = s (i > 1 ? "/" : "") S[i]
      return s
    }
    function walk(f, deep,   i, k, w, pattern, n) {
      if (deep > 20 || steps > 2000000) return
      for (i = 1; i <= N[f]; i++) {
        steps++
        if (!M[f, i]) { w[++k] = T[f, i]; continue }
        if (T[f, i] == "{") {
          S[++depth] = w[1]; H[depth] = P[depth] = 0
          if (depth == 1 && w[1] == "http") print "http", f, L[f, i]
          if (depth == 2 && S[1] == "http" && w[1] == "server") { B++; F[B] = f; A[B] = L[f, i]; D[B] = depth }
        } else if (T[f, i] == "}") {
          for (n = depth; n > 1 && !H[n];) n--
          if (P[depth] && H[n] < 2) print "hostless", F[B] ":" A[B]
          if (depth == 2 && S[1] == "http" && S[2] == "server" && B && !(B in done)) end_block()
          if (depth > 0) depth--
        } else if (k) directive(f, L[f, i], w, k, deep)
        k = 0
      }
    }
    function end_block() {
      done[B] = 1
      if (rows++ < 1000)
        print "server", F[B], A[B], O[F[B]] ? "yes" : "no",
          B in listens ? substr(listens[B] ? listens[B] : " -", 2) : "*:80", B in names ? substr(names[B], 2) : "\"\""
    }
    function directive(f, line, w, k, deep,   at, i, pattern, a) {
      at = level()
      if (at == "http/server" && w[1] == "listen" && w[2] !~ /^unix:/) {
        a = w[2]
        if (a ~ /^[0-9]+$/) a = "*:" a
        else if (a !~ /:[0-9]+$/) a = a ":80"
        sub(/^0\.0\.0\.0:/, "*:", a); sub(/^localhost:/, "127.0.0.1:", a)
        for (i = 3; i <= k; i++) {
          if (w[i] == "quic") { listens[B] = listens[B] ""; return } # UDP
          if (w[i] ~ /^default(_server)?$/) a = a "/default"
          if (w[i] ~ /^(proxy_protocol|ipv6only=o[nf]+)$/) a = a "/" w[i]
        }
        listens[B] = listens[B] " " a
      }
      if (at == "http/server" && w[1] == "server_name")
        for (i = 2; i <= k; i++) names[B] = names[B] " " (w[i] == "" ? "\"\"" : w[i])
      if (at ~ "^http/server/" && w[1] == "proxy_pass" && w[2] ~ /[$]/ && !O[f]) P[depth] = 1
      if (w[1] == "proxy_set_header" && H[depth] < 2)
        H[depth] = (tolower(w[2]) == "host" && w[3] !~ /[$][{]?proxy_host/) ? 2 : 1
      if (w[1] != "include" || k != 2) return
      pattern = w[2]
      if (pattern !~ /^\//) pattern = home pattern
      if (S[1] == "http" && more++ < 1000)
        print "include", f, line, O[f] ? "yes" : "no", at, pattern, S[2] == "server" ? F[B] ":" A[B] : ""
      pattern = glob(pattern)
      for (i = 1; i <= files; i++) if (name[i] ~ pattern) walk(name[i], deep + 1)
    }
    BEGIN { OFS = "\t" }
    /^# configuration file \/.*:$/ {
      f = substr($0, 22, length($0) - 22); lines = 0; open = ""
      if (f in N) f = f "\t" NR # a line of somebody else
      else { N[f] = 0; name[++files] = f }
      next
    }
    f == "" { next }
    { lines++ }
    index($0, "# Written by deploy-action for " app ".") == 1 \
      || index($0, "# Written by deploy-action for " app ";") == 1 { O[f] = 1 }
    { cut($0) }
    END {
      home = name[1]; sub(/[^\/]*$/, "", home)
      for (i = 1; i < files; i++) for (j = i + 1; j <= files; j++)
        if (i > 1 && name[j] < name[i]) { s = name[i]; name[i] = name[j]; name[j] = s }
      if (files) walk(name[1], 0)
      for (i = 1; i <= files; i++) print "file", name[i]
    }'
}

# look_at_nginx: sets rows to what nginx_rows says of the configuration on this host.
look_at_nginx() {
  know_nginx
  rows=$(nginx_texts | nginx_rows)
}

# rows_like PATTERN: sets like to those that are so. A text behind <<< is a pipe, which bash reads byte by
# byte, and most rows are of no use to who looks for some.
rows_like() {
  local IFS=$'\n' - line split
  set -f
  # shellcheck disable=SC2206 # into lines
  split=($rows)
  like=''
  for line in "${split[@]}"; do
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $line == $1 ]]; then like+=${like:+$'\n'}$line; fi
  done
}

# levels: sets including to the places of the server blocks of others that include the file,
# blank-separated.
levels() {
  local kind file line ours level pattern place like
  including=''
  rows_like $'include\t*\tno\t*'
  while IFS=$'\t' read -r kind file line ours level pattern place; do
    # shellcheck disable=SC2053 # a pattern it is
    [[ $kind == include && $ours == no && $nginx_include == $pattern ]] || continue
    case $level in
      http/server) including+="$place " ;;
      http) faults+=("$file:$line includes $nginx_include outside of a server block: it must be included at server \
level") ;;
      *) faults+=("$file:$line includes $nginx_include inside ${level##*/}: it must be included at server level, \
beside the locations") ;;
    esac
  done <<<"$like"
}
