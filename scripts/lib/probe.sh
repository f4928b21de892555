#!/usr/bin/env bash
# One HTTP request, judged; and what nginx says of itself.
#
# Values: app, health_path, health_status, health_body, verify_host, any_host (a name that nobody
#         has, where the site answers for any; else nothing), port

# probe URL HOST [CURL-OPTION...]: asks once; succeeds when status and body are as wanted. Sets said
# (what came, for people) and status. No proxy and no .curlrc of the host's has a say in it, and
# brackets and braces in the path are none of curl's ranges.
probe() {
  local out head url tls
  status=000 said='curl, which would ask, is not installed'
  have curl || return 1
  if ! probe_plainly "$@"; then
    by_name "$1" "$2"
    heard 65536 curl -q -gsSik --stderr - --noproxy '*' --max-time 5 -H "Host: $2" "${tls[@]}" "${@:3}" -- "$url" || :
  fi
  head=${out%%$'\n\n'*}
  if [[ $head =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then
    status=${BASH_REMATCH[1]}
  else
    said=${out:-no answer}
    return 1
  fi
  out=${out:${#head}+2}
  said="answered $status"
  if [[ $status != "$health_status" || $out != *"$health_body"* ]]; then
    if ((${#out} > 200)); then # to the end of a word: nobody would know a part of a secret
      out=" ${out:0:200}"
      out=${out%[[:space:]\"<>]*}
      out=${out# }
    fi
    said+=" \"${out//$'\n'/ }\""
    return 1
  fi
}

# probe_plainly URL HOST [CURL-OPTION...]: sets out to an answer, or to that there was none in time, for
# a quarter of the processor time that curl takes to begin. Fails where that is not enough, or nobody
# listens, or the answer is no plain one: then curl has the last word, and in the last case is asked at
# once from then on. An application that has been given its time is not asked twice.
only_curl=no
probe_plainly() {
  local from answering end ms part='' how plain_one=yes
  local simple='^http://([0-9.]+)(:([0-9]+))?(/[a-zA-Z0-9/_.~?=&%,:@+-]*)$'
  [[ $# == 2 && $only_curl == no && $2 =~ ^[a-zA-Z0-9._:-]+$ && $1 != */.* && $1 =~ $simple ]] || return 1
  exec {from}< <(whole_answer "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]:-80}" "${BASH_REMATCH[4]}" "$2" 2>/dev/null)
  answering=$!
  now_ms
  end=$((ms + 5000)) out=''
  while :; do
    how=0
    IFS= read -rd '' -t 1 -u "$from" part || how=$?
    out+=$part
    if ((how == 0)); then
      now_ms
      plain_one=no end=$((ms + 2000))
    elif ((how <= 128)); then # more than 128: it takes longer, or the machine's clock was set
      how=0
      wait "$answering" || how=$?
      break
    elif past "$end"; then
      kill -KILL "$answering" 2>/dev/null || :
      wait "$answering" || :
      how=0
      if [[ $out != HTTP/* ]]; then out='timed out: no answer within 5 s'; fi
      break
    fi
  done
  exec {from}<&-
  if [[ $plain_one == no ]]; then only_curl=yes how=2; fi
  plain
  return "$how"
}

# whole_answer ADDRESS PORT PATH HOST: asks, and prints the answer as it comes, if it is one of a few
# kilobytes whose end is known; else fails, see no_plain_one, and with 1 where nobody takes the connection.
# Whoever calls it ends it in time, also where it waits for somebody to take the connection; what it reads
# has limits for the case that nobody does. It has no part in the lock of the step. The request goes out at
# once, as some servers read only once: bash writes line by line.
whole_answer() {
  local to line head left=end late ms
  now_ms
  late=$((ms + 10000))
  if [[ -n ${step_fd-} ]]; then exec {step_fd}>&-; fi
  exec {to}<>"/dev/tcp/$1/$2" || exit 1
  request "$3" "$4"
  cat <<<"${head}Accept: */*"$'\r\n\r' >&"$to" # and the line break that ends what stands behind <<<
  head=''
  while answer_line 4096 && [[ -n $line ]]; do
    if ((${#line} > 4094 || ${#head} > 8192)); then no_plain_one; fi
    if [[ -z $head && $line != HTTP/1.[01]\ [2-5][0-9][0-9]* ]]; then no_plain_one; fi
    head+=$line$'\n'
    if [[ ${line,,} =~ ^content-length:[[:blank:]]*([0-9]{1,9})[[:blank:]]*$ ]]; then
      if [[ $left == end ]]; then left=$((10#${BASH_REMATCH[1]})); fi
    elif [[ ${line,,} =~ ^transfer-encoding:[[:blank:]]*chunked[[:blank:]]*$ ]]; then
      left=chunks
    elif [[ ${line,,} =~ ^(content-length|transfer-encoding)[[:blank:]]*: ]]; then
      no_plain_one
    fi
  done
  if [[ -z $head || -n $line ]]; then no_plain_one; fi
  printf '%s\n' "$head"
  if [[ $head == HTTP/1.?\ [23]04* ]]; then
    left=0
  elif [[ $left == chunks ]]; then
    answer_chunks
  elif [[ $left == end ]]; then
    if answer_bytes 8192; then no_plain_one; fi
  elif ((left > 8192)) || ! answer_bytes "$left"; then
    no_plain_one "$left"
  fi
}

# answer_line BYTES: sets line to the next one of an answer; fails where there is none that has an end. Of
# one that comes while the machine's clock is set there is a part each time, here and in what follows (see
# ask_plainly).
answer_line() {
  local part how=129
  line=''
  while ((how > 128)); do
    part='' how=0
    IFS= read -r -t 10 -n "$1" -u "$to" part || how=$?
    line+=$part
    if [[ -z $part ]] || past "$late"; then break; fi
  done
  line=${line%$'\r'}
  if ((how > 0)); then
    line=none
    return 1
  fi
}

# answer_bytes COUNT: prints as many, without NULs; fails where the answer has less.
answer_bytes() {
  local left=$1 part how=0
  while ((left > 0 && how == 0)); do
    part=''
    IFS= read -rd '' -t 10 -n "$left" -u "$to" part || how=$?
    printf '%s' "$part"
    if ((how > 128)) && [[ -n $part ]] && ! past "$late"; then
      how=0 left=$((left - ${#part}))
    else
      left=$((left - ${#part} - (${#part} < left))) # a NUL has ended it, and was one of them
    fi
  done
  return "$how"
}

# answer_chunks: prints an answer that comes in pieces (RFC 9112, 7.1).
answer_chunks() {
  local all=0 size
  while answer_line 64 && [[ ${line%%[;[:blank:]]*} =~ ^[0-9a-fA-F]{1,4}$ ]]; do
    size=$((16#${BASH_REMATCH[0]})) all=$((all + 16#${BASH_REMATCH[0]}))
    if ((size == 0)); then
      while answer_line 4096 && [[ -n $line ]]; do :; done
      return
    fi
    if ((all > 8192)) || ! answer_bytes "$size" || ! answer_line 4 || [[ -n $line ]]; then break; fi
  done
  no_plain_one
}

# no_plain_one [COUNT]: tells whoever asks by a NUL that curl is to ask, and hears the answer out, so many
# bytes at most, and for a second: the application must not find that somebody has hung up on it.
no_plain_one() {
  local count=${1-65536}
  printf '\0'
  timeout 1 head -c "$((count < 65536 ? count : 65536))" <&"$to" >/dev/null
  exit 2
}

# heard BYTES COMMAND...: sets out to what a command prints, no more of it than that, without
# carriage returns, NUL, and line breaks at its end; returns its exit status. It takes one process,
# since waiting is asking over and over.
heard() {
  local from
  exec {from}< <("${@:2}" </dev/null)
  IFS= read -r -N "$1" -u "$from" out || :
  exec {from}<&-
  plain
  wait "$!"
}

# by_name URL HOST: sets url and tls to how curl asks it. TLS begins with the host's name: nginx may
# refuse who says none there (ssl_reject_handshake).
by_name() {
  url=$1 tls=()
  if [[ $1 =~ ^https://([^/]+)(/.*)$ ]]; then
    url=https://$2${BASH_REMATCH[2]} tls=(--connect-to "::${BASH_REMATCH[1]}:443")
  fi
}

# ask_nginx URL [BODY]: asks for what the include answers itself, as `front` is asked. Sets code (000:
# nobody speaks HTTP there) and word (its text); fails when nobody listens there.
ask_nginx() {
  local out='' outcome=0 url tls
  code=000 word=''
  if ! ask_plainly "$@"; then
    have curl || return 0
    by_name "$1" "$as"
    heard 8192 curl -q -gsik --noproxy '*' --max-time 5 -A deploy-action -H "Host: $as" "${tls[@]}" "${way[@]}" \
      ${2+--data-binary "$2"} -- "$url" 2>/dev/null || outcome=$?
  fi
  if [[ $out =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then code=${BASH_REMATCH[1]} word=${out#*$'\n\n'}; fi
  ((outcome != 7))
}

# ask_plainly URL [BODY]: the same over a connection of bash's own, which takes no process: a drain
# asks ten times a second. Sets out to the answer; fails where that is not enough, or nobody
# listens. bash (5.2) holds a limit against the machine's clock behind each byte, and that may be set
# meanwhile: what has come by then is the beginning of a line. With -N it would be the next read's.
ask_plainly() {
  local to end ms part how head
  [[ ${#way[@]} == 0 && $1 =~ ^http://([0-9.]+)(:([0-9]+))?(/.*)$ ]] || return
  request "${BASH_REMATCH[4]}" "$as" "${@:2}"
  { exec {to}<>"/dev/tcp/${BASH_REMATCH[1]}/${BASH_REMATCH[3]:-80}"; } 2>/dev/null || return
  trap '' PIPE # who listens there may hang up at once
  printf '%s\r\n%s' "$head" "${2-}" 1>&"$to" 2>/dev/null || :
  # shellcheck disable=SC2064 # it is known now
  trap "${on_pipe--}" PIPE
  now_ms
  end=$((ms + 5000))
  while ((${#out} < 8192)); do
    part='' how=0
    IFS= read -r -t 5 -n 8192 -u "$to" part || how=$?
    out+=$part
    if ((how == 0)); then
      out+=$'\n'
    elif ((how <= 128)) || [[ -z $part ]] || past "$end"; then
      break
    fi
  done
  exec {to}>&-
  plain
}

# request PATH HOST [BODY]: sets head to that of a question, but for the empty line behind it.
request() {
  head=GET
  if (($# > 2)); then head=POST; fi
  head+=" $1 HTTP/1.1"$'\r\n'"Host: $2"$'\r\n'"User-Agent: deploy-action"$'\r\n'"Connection: close"$'\r\n'
  if (($# > 2)); then head+="Content-Type: application/x-www-form-urlencoded"$'\r\n'"Content-Length: ${#3}"$'\r\n'; fi
}

# plain: takes carriage returns, and line breaks at its end, out of out.
plain() {
  out=${out//$'\r'/}
  while [[ $out == *$'\n' ]]; do out=${out%$'\n'}; done
}

# routed: sets chosen to where nginx itself says that it sends requests, and loaded to the name of
# the texts by which it does so: an application that is slow or down has no say in it. Sets terms to
# the name of those by which it lets anybody in in maintenance, and closed to whether it is (closed,
# open); a site of before has neither. Sets front to where it says so, as to what name (as) and how
# (way). An address of the loopback that nobody has to himself comes first: what others have on
# 127.0.0.1 does not matter then.
routed() {
  routed_at 127.84.0.1 || routed_at 127.0.0.1 || front=http://127.84.0.1 as=$verify_host way=()
}

# routed_at ADDRESS [BODY]: fails where the include does not answer; somebody is then yes
# if another does. Where port 80 only redirects, it answers over TLS, whose certificate means
# nothing on this way; a port that belongs to a balancer hears what a balancer says first; and where
# the site answers for any name, another may have the one that is asked for.
routed_at() {
  local code word
  somebody=no
  for as in "$verify_host" $any_host; do
    for front in "http://$1" "https://$1"; do
      way=()
      ask_nginx "$front/.deploy-action/slot" "${@:2}" || continue
      if [[ $code == 000 ]]; then
        way=(--haproxy-protocol)
        ask_nginx "$front/.deploy-action/slot" "${@:2}" || :
      fi
      read -r chosen loaded terms closed <<<"${word%%$'\n'*}" || :
      chosen=${chosen%_kept}
      if [[ $chosen == http://"${app//-/_}"_+([0-9]) ]]; then return; fi
      if [[ $code != 000 ]]; then somebody=yes; fi
    done
  done
  chosen='' loaded='' terms='' closed=''
  return 1
}

# routed_for_all: what `routed` has found holds for a request with a body too, and at the address
# that SSH came to, which is what visitors reach. Sets elsewhere to where it does not. An address at
# which nothing listens is nobody's. Needs front.
routed_for_all() {
  local wanted=$chosen/$loaded address=${front#*://} chosen loaded terms closed front as way somebody
  elsewhere='a request with a body'
  routed_at "$address" deploy-action || :
  [[ $chosen/$loaded == "$wanted" ]] || return 1
  visited
  if [[ -n $address ]]; then
    elsewhere="the address ${address}"
    if routed_at "$address"; then
      [[ $chosen/$loaded == "$wanted" ]] || return 1
    else
      [[ $somebody == no ]] || return 1
    fi
  fi
  elsewhere=''
}

# visited: sets address to that of the host at which visitors are looked for, as URLs have it, or to
# nothing.
visited() {
  read -r _ _ address _ <<<"${SSH_CONNECTION-}" || :
  case $address in
    127.* | ::1 | fe80:*) address='' ;;
    *:*) address=[$address] ;;
  esac
}

# in_hand PORT: sets hand to what nginx says of the requests that it has chosen the slot for and is
# not through with: busy, idle, or unknown where the texts of before are loaded, or nothing answers.
# Needs front and loaded.
in_hand() {
  local code word
  ask_nginx "$front/.deploy-action/busy/$1" || :
  case $code-$word in
    409-*) hand=busy ;;
    "200-idle $loaded") hand=idle ;;
    *) hand=unknown ;;
  esac
}

# probe_through: asks the site as a visitor would, for the health path, where `routed` has found it.
# Where nginx asks visitors for a password, lets in certain addresses only, or limits how often one
# may ask, denied is how it answered this host. No path through nginx may lead past that, not even
# for this host, on which a tunnel or a proxy may pass visitors on: then the slot that nginx names
# is asked itself.
probe_through() {
  local owner
  denied=''
  probe "$front$health_path" "$as" "${way[@]}" && return
  [[ $status =~ ^(401|403|429|503)$ && $chosen == http://*_+([0-9]) ]] || return 1
  listener "${chosen##*_}"
  [[ $owner == ours ]] || return 1
  denied=$status
  probe "http://127.0.0.1:${chosen##*_}$health_path" "$as" && return
  denied=''
  return 1
}

# through_nginx: the same. Sets via to the slot that has answered, as far as that is known: nginx's
# own word names it, and its listener is ours, so that no other one had to stand in.
through_nginx() {
  local right=0 owner chosen loaded terms closed front as way somebody status
  routed
  probe_through || right=1
  via=''
  listener "$port"
  if [[ $chosen == http://*_"$port" && $owner == ours ]]; then via=127.0.0.1:$port; fi
  return "$right"
}

# reply: what came through nginx, and from where, for people.
reply() {
  printf '%s' "$said"
  if [[ $said == 'answered '* ]]; then printf ' by %s' "${via:-nobody known}"; fi
}

# wanted: what a right answer is, for people.
wanted() {
  printf 'status %s' "$health_status"
  if [[ -n $health_body ]]; then printf ' and a body with "%s"' "$health_body"; fi
}
