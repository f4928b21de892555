#!/usr/bin/env bash
# The host's side of the conversation: hears frames on standard input, and runs each verb in a
# session of its own.
#
# Values: silence (seconds without a word, after which the run is gone), not_begun (the exit code of a
#         verb that was told not to), part (the text of each file), made_of (the files of each verb)
#
# A frame is a line, of these words (what follows the line is waited for without a limit: with one bash
# asks the kernel twice for each byte, which makes 6 ms of 15 KB):
#   part - BYTES NAME     and that many bytes: the text of a file that was not there from the beginning.
#   verb TAG BYTES NAME   and that many bytes: the verb's values. Its standard input is empty.
#   first TAG BYTES NAME  the same; it runs before the verb of the next frame, which does not begin
#                         when it fails. That one's end is then `skipped`.
#   hold TAG BYTES NAME   as verb, and its standard input is a line for each `feed TAG`, and ends
#                         by `close TAG`.
#   end TAG               sends a verb signal TERM; may be said again, since a verb that is just
#                         beginning may miss it.
#   beat                  says that the run is there.
# What a verb prints goes out as it is. When it has ended, `TAG end STATUS` goes out on standard
# output, and TAG on standard error. A tag is known to the run and to the verb's own shell: no
# program that the verb starts can speak for it.
#
# The names here begin with talk_: a variable that the login exports stays exported when it is used
# for something else.

talk_main() {
  local talk_kind talk_tag talk_size talk_name talk_values IFS=$' \t\n'
  # Of the verbs that come next, one after the other; the last two are by job.
  local talk_tags=() talk_names=() talk_given=()
  local -A talk_inputs=() talk_jobs=() talk_runs=() talk_ended=() talk_turns=()
  local talk_begun talk_words=2
  # Where a verb that comes together with others hears that it is its turn, by its number's last bit:
  # one may not have heard yet when the next one's shell is there to listen.
  local talk_turn=()
  # A login's functions may have the names of what is used here, and its BASH_ENV other habits.
  while builtin read -r _ _ talk_name; do builtin unset -f "$talk_name"; done < <(builtin declare -Fx)
  set +eu
  unset -v TMOUT 2>/dev/null # reads here have limits of their own, or none
  export LC_ALL=C            # a length is one in bytes
  trap : PIPE                # a verb that reads no more has ended, which is told
  trap '' TERM               # what is told to end are verbs; this ends with the connection
  exec {talk_begun}<> <(:)   # who begins a verb writes here, and this reads
  talk_take_turns
  while talk_hear; do
    case $talk_kind in
      part) IFS= read -r -N "$talk_size" "part[$talk_name]" || break ;;
      verb | first | hold)
        IFS= read -r -N "$talk_size" talk_values || break
        talk_begin
        ;;
      feed) { printf '\n' >&"${talk_inputs[$talk_tag]}"; } 2>/dev/null ;;
      close) talk_hang_up ;;
      end) talk_end ;;
      beat) talk_look ;;
      *) exit 1 ;; # what opened the conversation was not all that was read
    esac
  done
  exit 0 # what is left is not read as commands
}

# talk_hear: the next frame's line. bash (5.2) holds a limit against the machine's clock behind each byte,
# and that may be set while one is waited for: a byte that has come is no silence.
talk_hear() {
  local talk_first=''
  IFS= read -r -N 1 -t "$silence" talk_first || [[ -n $talk_first ]] || return 1
  read -r -t "$silence" talk_kind talk_tag talk_size talk_name || return 1
  talk_kind=$talk_first$talk_kind
}

# talk_begin: runs the verb named, and those before it, beside what is told next. Each one's shell
# reads a line that says how much of what follows is its script, runs nothing of one that is cut
# off, and leaves the rest on its standard input.
talk_begin() {
  local talk_input
  if [[ $talk_kind == hold ]]; then
    exec {talk_input}> >(talk_hold)
    talk_jobs[$talk_tag]=$! talk_inputs[$talk_tag]=$talk_input
    { talk_compose >&"$talk_input"; } 2>/dev/null
    return
  fi
  talk_tags+=("$talk_tag") talk_names+=("$talk_name") talk_given+=("$talk_values")
  if [[ $talk_kind == first ]]; then return; fi
  talk_verbs &
  for talk_tag in "${talk_tags[@]}"; do talk_jobs[$talk_tag]=$!; done
  if ((${#talk_tags[@]} > 1)); then
    talk_turns["$! 0"]=${talk_turn[0]} talk_turns["$! 1"]=${talk_turn[1]}
    talk_take_turns
  fi
  talk_tags=() talk_names=() talk_given=()
}

# talk_take_turns: sets talk_turn for the verbs that come together next.
talk_take_turns() {
  local talk_even talk_odd
  exec {talk_even}<> <(:) {talk_odd}<> <(:)
  talk_turn=("$talk_even" "$talk_odd")
}

# talk_compose [N]: prints what the shell of the verb named reads; N is its number, where it is to wait
# for its turn.
talk_compose() {
  local talk_file talk_text="unset -v turn turn_fd; ${talk_wait:+turn=$1 turn_fd=$talk_wait}"$'\n'$talk_values
  for talk_file in ${made_of[$talk_name]}; do talk_text+=${part[$talk_file]}; done
  printf '%s\n%s' "{ LC_ALL=C; unset -v script; IFS= read -r -N ${#talk_text} script || exit; eval \"\$script\"; }" \
    "$talk_text"
}

# talk_hang_up: the held verb hears that nothing more comes.
talk_hang_up() {
  local talk_input=${talk_inputs[$talk_tag]-}
  if [[ -n $talk_input ]]; then exec {talk_input}>&-; fi
  unset -v 'talk_inputs[$talk_tag]'
}

# talk_look: who was to tell the end of a verb may have been killed, as for want of memory.
talk_look() {
  local talk_job
  local -A talk_gone=()
  talk_listen
  for talk_tag in "${!talk_jobs[@]}"; do
    talk_job=${talk_jobs[$talk_tag]}
    if kill -0 "$talk_job" 2>/dev/null; then continue; fi
    if [[ -z ${talk_gone[$talk_job]-} ]]; then
      wait "$talk_job" 2>/dev/null
      talk_gone[$talk_job]=$?
      if [[ -n ${talk_turns["$talk_job 0"]-} ]]; then
        talk_close "${talk_turns["$talk_job 0"]}" "${talk_turns["$talk_job 1"]}"
        unset -v 'talk_turns[$talk_job 0]' 'talk_turns[$talk_job 1]'
      fi
      unset -v 'talk_runs[$talk_job]' 'talk_ended[$talk_job]'
    fi
    if [[ ${talk_gone[$talk_job]} != 0 ]]; then talk_tell lost; fi
    unset -v 'talk_jobs[$talk_tag]'
  done
}

talk_tell() {
  printf '%s end %s\n' "$talk_tag" "$1"
  printf '%s\n' "$talk_tag" >&"$talk_words"
}

# talk_apart: a process has no part in what others are fed by: theirs would never end. What bash
# itself says of how a verb was killed is nobody's.
talk_apart() {
  talk_close "${talk_inputs[@]}" "${talk_turns[@]}"
  if ((${#talk_tags[@]} < 2)); then # the turns are of others, who come next
    talk_close "${talk_turn[@]}"
    talk_turn=()
  fi
  exec {talk_words}>&2 2>/dev/null
}

talk_close() {
  local talk_fd
  for talk_fd; do exec {talk_fd}>&-; done
}

# talk_hold: one verb, to its end.
talk_hold() {
  local talk_job=$BASHPID talk_words
  talk_apart
  (
    talk_announce "$BASHPID"
    talk_shell
  )
  talk_tell "$?"
}

# talk_verbs: one after the other, to their ends, until one fails. No other begins once the
# conversation is over, or after one that was told to end. While one is at work the next one's shell
# is started and reads what it is to do, which takes as long as many a verb's own work; then it waits
# for its number. A number that was written for one that had been told to end is no other's.
#
# Nothing is trapped here: a signal that interrupts bash's wait (5.2) at the moment in which a verb
# ends can lose how it has ended. Who feeds a verb is no part of a pipeline, which would be waited
# for, too.
talk_verbs() {
  local talk_n talk_verb talk_ready talk_status=0 talk_job=$BASHPID talk_words
  talk_apart
  talk_start 0
  for talk_n in "${!talk_tags[@]}"; do
    if [[ $talk_status == 0 ]]; then
      talk_verb=$talk_ready
      talk_announce "$talk_verb"
      if ((talk_n > 0)); then talk_go "$talk_n"; fi
      if ((talk_n + 1 < ${#talk_tags[@]})); then talk_start $((talk_n + 1)); fi
      wait "$talk_verb"
      talk_status=$?
      if [[ $talk_status != 0 ]]; then talk_stay "${talk_turn[@]}"; fi
    else
      talk_status=$not_begun
    fi
    talk_tag=${talk_tags[talk_n]}
    if ((talk_n > 0 && talk_status == not_begun)); then talk_tell skipped; else talk_tell "$talk_status"; fi
  done
}

# talk_start N: sets talk_ready to the shell of the verb of that number.
talk_start() {
  local talk_text talk_wait=''
  talk_name=${talk_names[$1]} talk_values=${talk_given[$1]}
  if (($1 > 0)); then exec {talk_wait}<"/dev/fd/${talk_turn[$1 % 2]}"; fi # ends with who can write there
  exec {talk_text}< <(talk_compose "$1")
  talk_shell <&"$talk_text" {talk_text}<&- &
  talk_ready=$!
  exec {talk_text}<&-
  if (($1 > 0)); then exec {talk_wait}<&-; fi
}

# talk_go N: it is the turn of the verb of that number.
talk_go() {
  if kill -0 "$$" 2>/dev/null; then printf '%s\n' "$1" >&"${talk_turn[$1 % 2]}"; else talk_stay "${talk_turn[@]}"; fi
}

# talk_stay TURN...: no other verb begins.
talk_stay() {
  local talk_fd
  for talk_fd; do printf 'end\n' >&"$talk_fd"; done
}

# talk_announce PROCESS: the verb that this job is at now.
talk_announce() { printf '%s %s\n' "$talk_job" "$1" >&"$talk_begun"; }

# talk_shell: becomes the verb's, in a session of its own. It is not deaf to signals, as what a shell
# runs in the background is.
talk_shell() {
  trap - INT QUIT TERM PIPE
  exec {talk_begun}>&- 2>&"$talk_words" {talk_words}>&-
  talk_close "${talk_turn[@]}"
  SHLVL=$((SHLVL - 1)) # as without the loop
  exec setsid bash -s -- "$talk_name"
}

# talk_listen: learns which processes the verbs are that have begun since.
talk_listen() {
  local talk_job talk_verb
  while read -r -t 0 -u "$talk_begun" && read -r -u "$talk_begun" talk_job talk_verb; do
    talk_runs[$talk_job]=$talk_verb
  done
}

# talk_end: the verb that a job is at hears it once, since a second signal would cut off what it does
# at the first. It has no group of its own yet when it is just beginning. The one that waits for its
# turn does not begin.
talk_end() {
  local talk_job=${talk_jobs[$talk_tag]-} talk_verb
  if [[ -z $talk_job ]] || ! kill -0 "$talk_job" 2>/dev/null; then return; fi
  if [[ -n ${talk_turns["$talk_job 0"]-} ]]; then
    talk_stay "${talk_turns["$talk_job 0"]}" "${talk_turns["$talk_job 1"]}"
  fi
  talk_listen
  talk_verb=${talk_runs[$talk_job]-}
  if [[ -z $talk_verb || $talk_verb == "${talk_ended[$talk_job]-}" ]]; then return; fi
  if kill -TERM -- "-$talk_verb" 2>/dev/null; then
    talk_ended[$talk_job]=$talk_verb
  else
    kill -TERM "$talk_verb" 2>/dev/null
  fi
}

talk_main
