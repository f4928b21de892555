#!/usr/bin/env bash
# The start files of what runs beside the process that serves, in the release's folder.
#
# Values: process_lines (NAME: COMMAND, one a line), procfile (yes: and those of the release's
#         Procfile)

# write_processes: writes one for each, and sets workers to what they are called. A command is data
# until the unit runs it.
write_processes() {
  local line name command n=0
  workers=''
  if [[ -e .deploy-action/processes ]]; then rm -rf -- .deploy-action/processes; fi
  while IFS= read -r line; do
    if [[ -n $line ]]; then write_process "${line%%: *}" "${line#*: }"; fi
  done <<<"$process_lines"
  [[ $procfile == yes ]] || return 0
  [[ -f Procfile ]] || die "$EX_BUILD" "the input processes says Procfile, and the release has no such file in its root"
  while IFS= read -r line || [[ -n $line ]]; do
    n=$((n + 1))
    line=${line%$'\r'}
    if [[ $line =~ ^[[:blank:]]*(#|$) ]]; then continue; fi
    [[ $line =~ ^([A-Za-z0-9_-]+):[[:blank:]]*([^[:blank:]].*)$ ]] \
      || die "$EX_BUILD" "line $n of the Procfile is not NAME: COMMAND"
    name=${BASH_REMATCH[1]} command=${BASH_REMATCH[2]}
    # What serves is the input start's, and release is no process: it ends, as before-start does.
    if [[ $name == web || $name == release || " $workers " == *" $name "* ]]; then continue; fi
    [[ $name =~ $worker_name ]] \
      || die "$EX_BUILD" "line $n of the Procfile calls a process $name: a name must begin with a letter of a-z, and \
have at most 32 of a-z, 0-9, _ and - in it"
    write_process "$name" "$command"
  done <Procfile
  if [[ -z $workers ]]; then say "the Procfile names no process but the one that serves"; fi
}

write_process() {
  local text
  mkdir -p .deploy-action/processes
  # That of a release which is started again is beside it until it has proved itself.
  # shellcheck disable=SC2016 # the unit's shell expands it
  printf -v text '#!/usr/bin/env bash\n# Written by deploy-action.\n%s\nexec bash -c %s\n' \
    '. "../../slots/$SLOT.environment" 2>/dev/null || . .deploy-action/environment' "${2@Q}"
  write ".deploy-action/processes/$1" 0644 "$text"
  workers+="${workers:+ }$1"
}
