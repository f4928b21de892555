#!/usr/bin/env bash
# What often is the matter with a version that does not come up, for the one who reads the failure:
# only what is seen to be so.
#
# Values: path, port, log_offset

# hints HOW: of a version that has ended so.
hints() {
  local text module found
  text=$(tail -n +4 -- "$path/slots/$port/.deploy-action/start" 2>/dev/null) || return 0
  case $1 in
    'status 127')
      if [[ $text =~ (uvicorn|gunicorn|hypercorn|daphne|flask) ]]; then
        found=${BASH_REMATCH[1]}
        if [[ ! -e $path/slots/$port/.venv && -e $path/slots/$port/requirements.txt ]]; then
          say "the release has no virtual environment, since the input build makes none: have it make one, or leave it \
empty for one from requirements.txt"
          return
        elif [[ ! -e $path/slots/$port/.venv ]]; then
          say "the release has no virtual environment, as it has no requirements.txt: add one that names $found, or \
make one with the input build"
          return
        elif [[ ! -x $path/slots/$port/.venv/bin/$found ]]; then
          say "the virtual environment of the release has no $found: name it in requirements.txt"
          return
        fi
      fi
      say "the command of the input start was not found: its package belongs in the input packages, or its folder on \
the PATH of services (what .bashrc or nvm sets up is not there)"
      ;;
    'status 0') say "the command of the input start ended by itself: it must run as long as the application does, \
without & or nohup, and without --daemon" ;;
    status*)
      if [[ $text =~ ([A-Za-z_][A-Za-z0-9_.]*):[A-Za-z_] ]]; then
        module=${BASH_REMATCH[1]//.//}
        if [[ $text != *cd\ * && $text != *--app-dir* && $text != *--chdir* ]] \
          && [[ ! -e $path/slots/$port/$module.py && ! -d $path/slots/$port/$module ]]; then
          found=$(cd -P -- "$path/slots/$port" \
            && grep -lE '=[[:space:]]*(FastAPI|Flask|Starlette|Quart|Sanic)\(' -- *.py */*.py 2>/dev/null \
            | head -n 1) || :
          found=${found%.py}
          say "the input start names the module ${BASH_REMATCH[1]}, and the release has no \
$module.py${found:+; the application looks to be in ${found//\//.}}"
        fi
      fi
      ;;
  esac
}

# only_ipv6 PORT: does it listen on ::1 and not on 127.0.0.1, where nginx asks?
only_ipv6() {
  local bound=() one six=no
  sockets "$1" 0A
  for one in "${bound[@]}"; do
    case ${one##* } in ????????) return 1 ;; 00000000000000000000000001000000) six=yes ;; esac
  done
  [[ $six == yes ]]
}

# leaves_socket dead|alive: says so of a version that does not take the socket it was given: the
# port is taken, or connections wait there.
leaves_socket() {
  local hex how="the socket that it is given as descriptor 3, as uvicorn does by --fd 3 and Node by \
server.listen({fd: 3})"
  socket_listens "$port" || return 0
  printf -v hex '0100007F:%04X' "$port"
  if tail -c "+$((log_offset + 1))" -- "$path/logs/$port.log" 2>/dev/null \
    | grep -qiE 'address (is )?already in use|EADDRINUSE'; then
    say "with the strategy in-place the application does not listen by itself: the command of the input start must \
have it take $how"
  elif [[ $1 == alive ]] \
    && awk -v at="$hex" '$2 == at && $4 == "0A" && $5 !~ /:0+$/ { found = 1 } END { exit !found }' /proc/net/tcp; then
    say "connections wait at the socket, and nobody takes them: the application still starts, or the command of the \
input start does not have it take $how"
  fi
}
