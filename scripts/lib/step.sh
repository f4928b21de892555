#!/usr/bin/env bash
# One step at a time, under the deploy lock.
#
# Values: path, lock_token, step_id (names this step of this run, or nothing: its results are not
#         kept), undo (yes: what other steps did is taken back), behind_lock (yes: it was sent along
#         with what takes the lock; else not set)

# own_lock: refuses to touch anything when the deploy lock is no longer this run's, and lets no step
# work beside another. Each leads a session of its own, as sshd starts it, holds the step lock, and
# leaves its name while it works.
own_lock() {
  local leader earlier=() kept
  results_of "$step_id"
  holds_lock
  end_cut_off
  umask 077
  if [[ $undo == yes && -e $path/.lock.step && ! -w $path/.lock.step ]]; then # the disk is read-only by now
    exec {step_fd}<"$path/.lock.step"
  else
    exec {step_fd}>>"$path/.lock.step"
  fi
  flock -w 10 "$step_fd" \
    || die "$EX_STEP_BUSY" "a step that was cut off still runs on this host: pid ${leader:-unknown}"
  if [[ -n $step_id && -s $kept ]]; then
    mapfile -t earlier <"$kept"
    if [[ ${earlier[-1]} == . ]]; then
      holds_lock
      unset -v 'earlier[-1]'
      if ((${#earlier[@]} > 0)); then printf "${tag:+$tag }%s\n" "${earlier[@]}"; fi
      exit 0
    fi
  fi
  trap leave EXIT
  # A disk on which nothing can be written down ends a deployment, and must not keep it from being
  # taken back.
  if [[ $undo == no ]]; then note_step; else note_step 2>/dev/null || :; fi
  holds_lock # once it has left its name: who takes the lock now finds that, and ends it
  umask 022
  finish_alone
}

note_step() {
  local began boot
  starttime "$$"
  read -r boot </proc/sys/kernel/random/boot_id
  printf '%s %s %s\n' "$$" "$began" "$boot" >"$path/.lock.leader" || return
  if [[ -n $step_id ]]; then exec {results_fd}>"$kept"; fi
}

# results_of STEP: sets kept to the file of its results, which no other run's is.
results_of() { kept=$path/.lock.steps/${lock_token%-*}.$1; }

# end_cut_off: ends what a cut-off step left running; sets leader. Who holds the deploy lock may do
# that, since the run that started it is gone or has given it up.
end_cut_off() {
  local start='' boot='' here
  leader=''
  if [[ -r $path/.lock.leader ]]; then read -r leader start boot <"$path/.lock.leader" || :; fi
  read -r here </proc/sys/kernel/random/boot_id
  # From before a reboot, its number is somebody else's.
  if [[ -n $boot && $boot != "$here" ]]; then leader=''; fi
  # A leader that died alone leaves its session behind, whose number is not given out again before
  # it is empty.
  if [[ -n $leader && -n $(session "$leader") ]] \
    && { runs "$leader" "$start" || [[ -n $boot && ! -e /proc/$leader ]]; }; then
    say "a step that was cut off is still at work on this host (pid ${leader}); ending it"
    end_session "$leader"
  fi
}

# leave: what a step does at its end, whatever that is. Where SIGTERM meets a shell that has just
# forked, bash adds that child's end to the first command of the trap, which must not end it.
leave() {
  local status=$? || :
  trap '' TERM # whoever ends it once more, as the next step does, has not to cut off what is taken away here
  # What can't be taken away hides no reason.
  if declare -F cleanup >/dev/null; then cleanup || :; fi
  { : >"$path/.lock.leader"; } 2>/dev/null || : # on a read-only disk
  blame "$status"
}

# blame STATUS: says what else has made a verb fail than what it has met, whether it changes anything
# or only asks. It is called at the end of each that has begun.
blame() {
  blame_halt "$1"
  blame_disk "$1"
}

# blame_halt STATUS: on a host that is being shut down everything ends, and nothing that a verb
# meets says more than that.
blame_halt() {
  local state='' end
  case $1 in 0 | "$EX_LOCK_LOST") return ;; esac
  if ! has_systemd; then return 0; fi
  now_ms
  end=$((ms + 3000))
  # systemd's bus may end before this shell does: it is asked until it tells, or the shell ends, too.
  until state=$(systemctl is-system-running 2>/dev/null </dev/null || :) && [[ -n $state && $state != unknown ]] \
    || past "$end"; do
    pause 0.1
  done
  if [[ $state == stopping ]]; then die "$EX_HALT" "the host is being shut down or restarted"; fi
}

# blame_disk STATUS: what failed on a full or read-only disk without a reason of ours, or by another
# program's doing, the application's too, failed because of it. The other exit codes are what Go goes
# by, and stay.
blame_disk() {
  local kb inodes percent dir where
  case $1 in
    0) return ;;
    "$EX_FETCH" | "$EX_RECEIVE" | "$EX_BUILD" | "$EX_DIED") ;;
    *) (($1 < EX_CHECK)) || return 0 ;;
  esac
  for dir in "$path" "$flags"; do
    if read_only "$dir"; then die "$EX_READ_ONLY" "the file system of $dir, mounted at $where, is read-only"; fi
  done
  disk "$path" || return 0
  if ((kb < 1024 || ${inodes:-10} < 10)); then die "$EX_DISK" "the disk is full: $kb KB and ${inodes:-enough} inodes \
are free at $path"; fi
}

# keep_results: the last call of every verb. The results of a step that came to its end stay for as
# long as its run does, so that it is not done twice when its answer is lost with the connection. It
# is done whether they can be kept or not. A dot says that they are all there.
keep_results() {
  if [[ -n ${results_fd-} ]]; then { printf '.\n' >&"$results_fd"; } 2>/dev/null || :; fi
}

end_session() {
  local end
  now_ms
  end=$((ms + 5000))
  session "$1" | xargs -r kill -TERM -- 2>/dev/null || :
  while [[ -n $(session "$1") ]] && ! past "$end"; do pause 0.1; done
  for _ in {1..20}; do # what is ended may just have started something
    session "$1" | xargs -r kill -KILL -- 2>/dev/null || :
    [[ -n $(session "$1") ]] || break
    pause 0.1
  done
}

holds_lock() {
  local holder=''
  [[ -r $path/.lock.holder ]] && read -r holder <"$path/.lock.holder"
  [[ -n $holder ]] || die "$EX_LOCK_LOST" "the deploy lock was lost: this host heard nothing from the run for too long"
  [[ $holder == "$lock_token" ]] || die "$EX_LOCK_LOST" "the deploy lock was lost: another run holds it now ($holder)"
}

# await_lock: who was sent along with what takes the lock begins once that is held. Where that takes
# longer, as it does when another run has it, the run asks again.
await_lock() {
  if locked_soon; then return; fi
  trap - EXIT
  exit "$EX_LOCK_BUSY"
}

locked_soon() {
  local end
  [[ ${behind_lock-} == yes ]] || return 0
  now_ms
  end=$((ms + 300))
  until [[ -e $path/.lock.steps/.$lock_token ]]; do
    if past "$end"; then return 1; fi
    pause 0.002
  done
}
