package scripts

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What workers.sh asks of systemd for timers, in which order, and what it leaves written down.
func TestTimersChangeInOrder(t *testing.T) {
	const old, anew, later = "a.11111111", "a.22222222", "b.33333333"
	for _, tt := range []struct {
		name     string
		set      string // before
		values   Values
		host     string // what is otherwise
		code     int
		calls    string
		says     string
		schedule string // after
	}{
		{
			name: "others", set: old, says: "scheduled=" + anew + " " + later, schedule: anew + " " + later,
			calls: "stop " + old + ",disable " + old + ",enable " + anew + ",restart " + anew + ",enable " + later +
				",restart " + later,
		},
		{name: "the same", set: anew + " " + later, host: "up " + anew + " " + later, schedule: anew + " " + later},
		{
			name: "the same, of which one was stopped", set: anew + " " + later, host: "up " + anew,
			schedule: anew + " " + later, calls: "restart " + later,
		},
		{
			name: "the same, of which one was disabled and stopped", set: anew + " " + later,
			host: "up " + anew + "; disabled=" + later, schedule: anew + " " + later,
			calls: "enable " + later + ",restart " + later,
		},
		{
			name: "a run was cut off", set: anew + " " + later + " changing", host: "up " + anew, schedule: anew + " " + later,
			calls: "enable " + anew + ",enable " + later + ",restart " + later,
		},
		{
			name: "of two releases, when a run was cut off", set: anew + " " + later + " " + old + " changing",
			host: "up " + anew + " " + later, schedule: anew + " " + later,
			calls: "stop " + old + ",disable " + old + ",enable " + anew + ",enable " + later,
		},
		{name: "another host has them", set: old, values: Values{"carries": "no"}, calls: "stop " + old + ",disable " + old},
		{name: "no release any more", set: old, values: Values{"port": ""}, calls: "stop " + old + ",disable " + old},
		{name: "none and none", values: Values{"carries": "no"}},
		{
			name: "a timer is gone", set: old, host: "gone " + later, schedule: old, code: ExitCheck,
			says: "the timer of the job b is not on this host any more: deploy that commit anew",
		},
		{
			name: "a timer is gone, and it is taken back", set: old, host: "gone " + later, values: Values{"trial": "no"},
			says: "the timer of the job b is not on this host any more, so that nothing starts it", schedule: anew,
			calls: "stop " + old + ",disable " + old + ",enable " + anew + ",restart " + anew,
		},
		{
			name: "an old timer is gone", set: old, host: "gone " + old, schedule: anew + " " + later,
			calls: "enable " + anew + ",restart " + anew + ",enable " + later + ",restart " + later,
		},
		{
			name: "the disk takes nothing", set: old, host: "write() { return 1; }", code: 1, schedule: old,
		},
		{
			name: "the disk takes nothing, and it is taken back", set: old, host: "write() { return 1; }",
			values: Values{"undo": "yes", "trial": "no"}, schedule: old,
			calls: "stop " + old + ",disable " + old + ",enable " + anew + ",restart " + anew + ",enable " + later +
				",restart " + later,
		},
		{
			name: "what is written down is none of ours", set: "../x", schedule: anew + " " + later,
			calls: "enable " + anew + ",restart " + anew + ",enable " + later + ",restart " + later,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bash(t, "cd "+quote(dir)+`; mkdir -p up slots logs releases/r/.deploy-action; `+
				`ln -s ../releases/r slots/8081; echo t >.lock.holder
				echo '`+anew+" "+later+`' >releases/r/.deploy-action/timers; `+
				`[ -z '`+tt.set+`' ] || echo '`+tt.set+`' >slots/schedule`)
			values := Values{
				"app": "shop", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "8080 8081", "processes": "",
				"port": "8081", "other": "8080", "overlap": "no", "trial": "yes", "watch_for": "0", "carries": "yes",
			}
			maps.Copy(values, tt.values)
			out, code := runWith(t, Workers, values, `
gone=' '
gone() { gone+="$* "; }
up() { touch "${@/#/$path/up/}"; }
`+tt.host+`
as_root() { "$@"; }
timer_is_there() { [[ $gone != *" $1 "* ]]; }
enabled() { [[ $1 != "shop.job.${disabled-}.timer" ]]; }
systemctl() {
  local unit=${!#} verb
  unit=${unit#shop.job.} unit=${unit%.timer}
  case "$*" in
    *is-active*) [[ -e $path/up/$unit ]]; return ;;
    *) verb=$(tr ' ' '\n' <<<"$*" | grep -xE 'restart|stop|enable|disable') ;;
  esac
  printf '%s %s,' "$verb" "$unit" >>"$path/calls"
}
`)
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.says, out)
			}
			calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
			if got := strings.TrimSuffix(string(calls), ","); got != tt.calls {
				t.Errorf("calls\n%s\nwant\n%s", got, tt.calls)
			}
			schedule, _ := os.ReadFile(filepath.Join(dir, "slots/schedule"))
			if got := strings.TrimSpace(string(schedule)); got != tt.schedule {
				t.Errorf("written down %q, want %q", got, tt.schedule)
			}
		})
	}
}

// The commands arrive as they are, none runs before its time, and each ends with its own status.
func TestJobsAreWrittenAsData(t *testing.T) {
	dir := t.TempDir()
	bash(t, "cd "+quote(dir)+"; mkdir -p r/.deploy-action/schedule; "+
		"echo \"export NAME='the value' RELEASE=r\" >r/.deploy-action/environment; "+
		"touch r/.deploy-action/schedule/old")
	lines := `a.11111111: printf '%s|' "$NAME" 'it'\''s' "$(echo %H)"; exit 3` + "\nb.22222222: echo b: c"
	text := "app=a path=/nowhere undo=no trial=no job_lines=" + quote(lines) + "\n" + read(t, "lib/base.sh") +
		read(t, "lib/files.sh") + read(t, "lib/jobs.sh") + "trap - EXIT\nwrite_jobs\n" +
		"printf 'timers=%s\\n' \"$timers\"\ncat .deploy-action/timers; ls .deploy-action/schedule\n"
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(text), filepath.Join(dir, "r")
	out, err := cmd.CombinedOutput()
	if want := "timers=a.11111111 b.22222222\na.11111111 b.22222222\na\nb\n"; err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
	job := bash(t, "cd "+quote(filepath.Join(dir, "r"))+"; bash .deploy-action/schedule/a || echo status $?; "+
		"bash .deploy-action/schedule/b")
	for _, want := range []string{
		"start of a of r\nthe value|it's|%H|=== ", "end of a with status 3\nstatus 3\n", "start of b of r\nb: c\n",
		"Z end of b with status 0\n",
	} {
		if !strings.Contains(job, want) {
			t.Errorf("%q is not in\n%s", want, job)
		}
	}
}

// A timer that nothing names goes, and with it what the sudoers rules say of it: they are written
// after that. It takes root, so it waits for a run that writes as root, or is told to be thorough.
func TestTimersThatNothingNamesGo(t *testing.T) {
	const all = "nightly.00000001 nightly.00000002 nightly.00000003 old.00000004 theirs.00000005"
	kept := strings.Replace(all, "old.00000004 ", "", 1)
	for _, tt := range []struct{ name, change, want string }{
		{"a unit is written", "job_template=new job_timers='nightly.00000001 daily'", kept + "|reload|rules of " + kept},
		{"the jobs are gone, and something is written", "template=new", kept + "|reload|rules of " + kept},
		{"told to be thorough", "thorough=yes", kept + "|reload|rules of " + kept},
		{"told to, on a host without rules", "thorough=yes; rm $rules_copy", kept + "|reload"},
		{"told to, with few rights", "thorough=yes; free_root() { false; }", all},
		{"told to, and all are named", "thorough=yes; rm $units/shop.job.old.00000004.timer", kept},
		{"nothing is written", "free_root() { did='|root is asked for'; }", all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.ReplaceAll(read(t, "lib/base.sh")+read(t, "lib/root.sh")+read(t, "lib/files.sh")+
				read(t, "lib/units.sh")+strings.Replace(read(t, "setup.sh"), `main "$@" </dev/null`, "", 1),
				"/etc/systemd/system", "$units")
			out := bash(t, "EX_CHECK=64 app=shop ports='8080 8081' path="+t.TempDir()+" units="+t.TempDir()+"\n"+
				strings.ReplaceAll(text, "EUID > 0", "1 > 0")+`
template=t socket_template=s process_template='' job_template='' job_timers='' repository=o/r certificate_id=''
thorough=no swap='' swap_file=none flags=$path/active rules_copy=$path/copy differing=() did=''
for one in `+all+`; do echo '# Written by deploy-action.' >"$units/shop.job.$one.timer"; done
echo '# theirs' >"$units/shop.job.theirs.00000005.timer"
printf t >"$units/shop@.service"
printf s >"$units/shop@.socket"
mkdir -p "$flags" "$path/releases/1/.deploy-action" "$path/slots"
: >"$rules_copy"
echo 'nightly.00000002 nightly.00000001' >"$path/releases/1/.deploy-action/timers"
echo 'nightly.00000003 changing' >"$path/slots/schedule"
own_lock() { :; }; look_at_site() { :; }; unit_is_ours() { :; }; rotates() { false; }; lacks_swap() { false; }
has_systemd() { :; }; rules_stand() { :; }; free_root() { :; }; say() { :; }; result() { :; }
as_root() { if [[ $* == 'systemctl daemon-reload' ]]; then did+='|reload'; else "$@"; fi; }
write_template() { :; }; write_timer() { :; }; write_job() { :; }
there() { (cd "$units" && echo *.timer | sed 's/shop\.job\.//g; s/\.timer//g'); }
write_rules() { did+="|rules of $(there)"; }
`+tt.change+`
main
printf '%s%s' "$(there)" "$did"`)
			if out != tt.want {
				t.Errorf("%q, want %q", out, tt.want)
			}
		})
	}
}
