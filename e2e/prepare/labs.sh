# shellcheck shell=bash
# What labs (../lab) have started. Each of their containers, networks and folders names the process
# that it belongs to. Sourced.

lab_label=deploy-action.lab

# lab_lives OWNER: does the process PID-STARTTIME-… still run?
lab_lives() {
  local pid start stat
  IFS=- read -r pid start _ <<<"$1"
  { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
  # What comes before the last parenthesis may hold anything.
  # shellcheck disable=SC2086 # the fields are split on purpose
  set -- ${stat##*) }
  [[ ${20} == "$start" ]]
}

# lab_owned COMMAND...: the id and owner of what a docker command lists of labs.
lab_owned() { docker "$@" --filter "label=$lab_label" --format "{{.ID}} {{.Label \"$lab_label\"}}"; }

# lab_images: the same of the hosts that labs have saved, of which image ls does not tell.
lab_images() {
  docker image ls --quiet --filter "label=$lab_label" \
    | xargs -r docker image inspect --format "{{.Id}} {{index .Config.Labels \"$lab_label\"}}"
}

# no_lab_lives: has every lab ended whose network is there, or is it of a process that is gone?
no_lab_lives() {
  local owner
  while read -r _ owner; do
    if lab_lives "$owner"; then return 1; fi
  done < <(lab_owned network ls)
}

# sweep_labs: removes what labs have left whose process was killed.
sweep_labs() {
  local id owner dir
  while read -r id owner; do
    lab_lives "$owner" || docker rm --force --volumes "$id" >/dev/null
  done < <(lab_owned ps --all)
  while read -r id owner; do
    lab_lives "$owner" || docker network rm "$id" >/dev/null
  done < <(lab_owned network ls)
  while read -r id owner; do
    lab_lives "$owner" || docker image rm --force "$id" >/dev/null
  done < <(lab_images)
  for dir in "${TMPDIR:-/tmp}/$lab_label".*; do
    if [[ -d $dir ]] && ! lab_lives "${dir##*/"$lab_label".}"; then as_root rm -rf -- "$dir"; fi
  done
}
