#!/usr/bin/env bash
# Runs a command of the user's in a release, with the application's own environment.
#
# Values: path, lock_token, release, port, name (of the input), command
# Prints: hook_ms
# Exits:  EX_HOOK when it fails, EX_MEMORY when it does for want of memory

main() {
  local begin file
  own_lock
  now_ms
  begin=$ms
  cd -P -- "$path/releases/$release"
  export PORT=$port
  environment_file "$port" "$release"
  user_command "$command" "$file" \
    || die "$EX_HOOK" "the command of input \"$name\" exited with status $?$(not_found "$?")"
  now_ms
  result hook_ms "$((ms - begin))"
}

main "$@" </dev/null
