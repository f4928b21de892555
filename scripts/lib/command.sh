#!/usr/bin/env bash
# Runs a command of the user's.
#
# Values: path, release

# user_command TEXT [FILE]: as GitHub runs a step of a workflow, so that what works there works
# here: it stops at the first line that fails, and a pipe fails with any of its parts. FILE is read
# first. Its words go to standard error.
user_command() {
  local kills before status=0
  oom_kills
  before=$kills
  (
    # What it leaves running is not this step.
    exec {step_fd}>&- >&2
    # As the application has it: compilers and interpreters take LC_ALL=C to mean that no text is
    # anything but ASCII.
    service_locale
    export LANG
    # shellcheck source=/dev/null
    . <(printf '%s' "$login_environment")
    unset -v LC_ALL
    expendable
    # The text is on no argument list, where a secret in it would show.
    # shellcheck disable=SC2016 # the inner shell expands it
    exec nice -n 10 bash -c 'if [[ -n $2 ]]; then . "$2"; fi; exec bash --noprofile --norc -e -o pipefail "$1"' \
      command <(printf '%s\n' "$1") "${2-}"
  ) || status=$?
  if ((status != 0)) && starved "$before"; then
    die "$EX_MEMORY" "the host ran out of memory, and the kernel ended what the command had started: $(memory_words)"
  fi
  return "$status"
}

# ask_locale: asks systemd what service_locale needs; that may be done before.
ask_locale() { if has_systemd; then exec {locale_said}< <(systemctl show-environment 2>/dev/null </dev/null); fi; }

# service_locale: sets LANG to the one that systemd gives services, if it knows UTF-8.
service_locale() {
  local line
  LANG=''
  if has_systemd; then
    if [[ -z ${locale_said-} ]]; then ask_locale; fi
    while IFS= read -r -u "$locale_said" line; do
      if [[ $line == LANG=* ]]; then LANG=${line#LANG=}; fi
    done
    exec {locale_said}<&-
  fi
  if [[ ${LANG,,} != *utf-8 && ${LANG,,} != *utf8 ]]; then LANG=C.UTF-8; fi
}
