#!/usr/bin/env bash
# One HTTP request, judged.
#
# Values: health_path, health_status, health_body, verify_host, port, site

# probe URL HOST: asks once; succeeds when status and body are as wanted. Sets said (what came, for people) and via (the upstream that nginx
# names to a probe from this host; several, comma-separated, when it had to turn to the backup). No proxy and no .curlrc of the host's has a say in it, and
# brackets and braces in the path are none of curl's ranges.
probe() {
  local out head status
  out=$(curl -q -gsSik --noproxy '*' --max-time 5 -H "Host: $2" -H 'X-Deploy-Action: probe' -- "$1" 2>&1 </dev/null | head -c 65536 | tr -d '\0\r') || :
  head=${out%%$'\n\n'*}
  via=''
  if [[ $head =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then
    status=${BASH_REMATCH[1]}
  else
    said=${out:-no answer}
    return 1
  fi
  if [[ $head =~ $'\n'[Xx]-[Dd]eploy-[Aa]ction-[Uu]pstream:\ ([^$'\n']+) ]]; then via=${BASH_REMATCH[1]}; fi
  out=${out:${#head}+2}
  said="answered $status"
  if [[ $status != "$health_status" || $out != *"$health_body"* ]]; then
    out=${out:0:200}
    said+=" \"${out//$'\n'/ }\""
    return 1
  fi
}

# routed HOST: sets chosen to where nginx itself says it sends requests, as the include has it tell, and loaded to the name of the texts by which
# it does so: an application that is slow or down has no say in it. Sets front to where it says so: where port 80 only redirects, that is over
# TLS, whose certificate means nothing on this way.
routed() {
  for front in http://127.0.0.1 https://127.0.0.1; do
    have curl || break
    read -r chosen loaded < <(curl -q -sk --noproxy '*' --max-time 5 -H "Host: $1" -- "$front/.deploy-action/slot" </dev/null | head -c 200 | tr -d '\0\r\n') || :
    if [[ $chosen == http://* ]]; then return; fi
  done
  chosen='' loaded='' front=http://127.0.0.1
}

# through_nginx: asks the site as a visitor would, for the health path; via is 127.0.0.1:$port when that slot has answered. A server block of
# the user's does not name the upstream. There nginx's own word stands for it, and the slot's listener: with that there is no need of the
# backup, which would answer for a version that does not listen.
through_nginx() {
  local right=0 owner chosen loaded front
  routed "$verify_host"
  probe "$front$health_path" "$verify_host" || right=1
  if [[ $site == theirs ]]; then
    via=$chosen
    listener "$port"
    if [[ $via == http://*_"$port" && $owner == ours ]]; then via=127.0.0.1:$port; fi
  fi
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
