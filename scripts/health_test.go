package scripts

import (
	"strings"
	"testing"
)

// functions are those of a verb, without its call of main.
func functions(verb string) string { return strings.TrimSuffix(verb, "main \"$@\" </dev/null\n") }

// systemd forgets how a version ended when it starts it again; the next end is waited for.
func TestHowAVersionEndedThatWasStartedAgain(t *testing.T) {
	for _, tt := range []struct{ name, ends, want string }{
		{"not yet", "'1 3 activating'", "status 3"},
		{"by now", "'0 0 active' '0 0 active' '1 3 activating'", "status 3"},
		{"by now, and by a signal", "'0 0 active' '2 9 activating'", "signal 9"},
		{"and it runs on", "'0 0 active'", "a status that nobody knows any more,"},
		{"its unit is gone", "'0 0 inactive'", "a status that nobody knows any more,"},
	} {
		out := bash(t, "app=a path="+t.TempDir()+" port=8080 log_offset=0 EX_DIED=70\n"+read(t, "lib/base.sh")+
			read(t, "lib/health.sh")+"ends=("+tt.ends+`) asked=0
has_systemd() { :; }
unit_of() { unit_name=a@8080.service; }
pause() { :; }
past() { ((asked > 20)); }
properties() {
  local code status state
  read -r code status state <<<"${ends[asked < ${#ends[@]} ? asked : -1]}"
  asked=$((asked + 1))
  property=([ExecMainCode]=$code [ExecMainStatus]=$status [ActiveState]=$state [Result]=x)
}
app_log() { :; }
out_of_memory() { :; }
hints() { printf '%s; ' "$1"; }
leaves_socket() { :; }
die() {
  printf '%s' "$2"
  exit 0
}
died`)
		if want := tt.want + "; the application exited with " + tt.want + " before it was healthy"; out != want {
			t.Errorf("%s: it says %q, want %q", tt.name, out, want)
		}
	}
}

func TestHowAWorkerEndedThatWasStartedAgain(t *testing.T) {
	for again, want := range map[string]string{
		"1 3 exit-code": "mailer: it exited with status 3", "2 9 signal": "mailer: it was ended by signal 9",
		"2 9 oom-kill": "mailer: the kernel ended it for want of memory",
		"0 0 success":  "mailer: its unit is active (running)",
	} {
		out := bash(t, "app=a path="+t.TempDir()+" trial=yes\n"+read(t, "lib/base.sh")+read(t, "lib/workers.sh")+`
unit_of() { unit_name=a@$1.service; }
systemctl() {
  printf '%s\n' ActiveState=active SubState=running NRestarts=1 ExecMainCode=0 ExecMainStatus=0 Result=success ''
}
await_end() {
  local code status result
  read -r code status result <<<'`+again+`'
  property=([ExecMainCode]=$code [ExecMainStatus]=$status [Result]=$result)
}
look_at_workers 8080 mailer
printf '%s: %s' "$down" "$how"`)
		if out != want {
			t.Errorf("%s: it says %q, want %q", again, out, want)
		}
	}
}

// A release on probation is asked once more where no answer came; what came and was wrong is final.
func TestAnAnswerThatDidNotComeIsAskedForOnceMore(t *testing.T) {
	for _, tt := range []struct{ name, answers, want string }{
		{"right", "right", "right after 1"},
		{"wrong", "'answered 500' right", "wrong after 1"},
		{"none, then right", "'curl: (28) timed out' right", "right after 2"},
		{"none, then wrong", "'curl: (28) timed out' 'answered 500'", "wrong after 2"},
		{"none, twice", "'curl: (28) timed out' 'no answer' right", "wrong after 2"},
	} {
		out := bash(t, functions(read(t, "verify.sh"))+"answers=("+tt.answers+`) asked=0 probes=0
must_run() { :; }
through_nginx() {
  said=${answers[asked]}
  asked=$((asked + 1))
  [[ $said == right ]]
}
if ask; then printf right; else printf wrong; fi
printf ' after %d' "$asked"`)
		if out != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, out, tt.want)
		}
	}
}
