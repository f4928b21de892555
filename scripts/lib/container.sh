#!/usr/bin/env bash
# A version in a container: the start command stays in the foreground as an engine's client (docker
# run, docker compose up, podman run), and what listens is the engine's, outside of the unit's
# control group. Which container belongs to a slot is said by its label deploy-action=APP@PORT: who
# may set one is as good as root.
#
# Values: app

# boxes PORT: prints a line for each container of the slot's, whatever its state: engine, id, state,
# network, and the ports that it publishes as the engine has them in JSON. An engine that this user
# may not ask runs nothing for the slot either.
boxes() {
  local engine ids=() format='{{.Id}} {{.State.Status}} {{.HostConfig.NetworkMode}} {{json .HostConfig.PortBindings}}'
  for engine in docker podman; do
    have "$engine" || continue
    if [[ $engine == docker && -z ${DOCKER_HOST-} && ! -w /run/docker.sock ]]; then continue; fi
    mapfile -t ids < <("$engine" ps --all --quiet --no-trunc --filter "label=deploy-action=$app@$1" 2>/dev/null)
    ((${#ids[@]} > 0)) || continue
    "$engine" inspect --format "$engine $format" -- "${ids[@]}" 2>/dev/null || : # one may have ended meanwhile
  done </dev/null
}

declare -A boxed_rows=()

# boxed PORT: sets box to `running` if a container of the slot's gets what the sockets takers take.
# It does if it publishes the port on 127.0.0.1 or on all addresses of IPv4, since nobody else can
# listen there then; or if it has the host's network, and its processes the sockets. One that
# begins, or has failed to, publishes it in words only: `coming`. Else empty.
boxed() {
  local engine id state network ports pids files=()
  box=running
  [[ ${boxed_rows[$1]-} != "${takers[*]}" ]] || return 0 # these very sockets were found to be so before
  box=''
  while read -r engine id state network ports; do
    if [[ $state == created && ($network == host || $ports == *"\"HostPort\":\"$1\""*) ]]; then box=coming; fi
    [[ $state == running ]] || continue
    if [[ $network == host ]]; then
      mapfile -t files < <(grep -lsF -- "$id" /proc/[0-9]*/cgroup)
      pids=("${files[@]//[!0-9]/}")
      if ((${#pids[@]} == 0)) || ! held_by; then continue; fi
    elif ! [[ $ports =~ \"HostIp\":\"(127\.0\.0\.1|0\.0\.0\.0)?\",\"HostPort\":\"$1\" ]]; then
      continue
    fi
    box=running boxed_rows[$1]=${takers[*]}
    return
  done < <(boxes "$1")
}

# end_boxes PORT: takes the slot's containers away, whose client has gone without them, as one
# does that is killed. Fails when one is left.
end_boxes() {
  local engine id left=''
  if ! have docker && ! have podman; then return; fi
  while read -r engine id _; do
    if ! "$engine" rm --force -- "$id" >/dev/null 2>&1 </dev/null; then left=$id; fi
  done < <(boxes "$1")
  [[ -z $left || -z $(boxes "$1") ]]
}

# box_hint PORT: of a port that an engine has, for people.
box_hint() {
  local who
  who=$(who_has "$1")
  if [[ $who =~ program\ (docker-proxy|dockerd|conmon|rootlessport|slirp4netns)$ ]]; then
    say "a container has it (docker ps --filter publish=$1 names it, and if this run has left it, docker stop ends \
it):" \
      "the one of the input start is told from others by --label deploy-action=$app@\$PORT, and publishes the port" \
      "by -p 127.0.0.1:\$PORT:…"
  fi
}
