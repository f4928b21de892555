package scripts

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// written has build.sh's part write the processes of a release, and returns its exit code, what it
// says, and the files by name.
func written(t *testing.T, lines, procfile string) (code int, out string, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Procfile": procfile, "of/.deploy-action/environment": "export NAME='the value'\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "of/.deploy-action"), filepath.Join(dir, ".deploy-action")); err != nil {
		t.Fatal(err)
	}
	text := "app=a path=/nowhere EX_BUILD=70 EX_CHECK=64 processes='' procfile=yes process_lines=" + quote(lines) + "\n" +
		read(t, "lib/base.sh") + read(t, "lib/files.sh") + read(t, "lib/workers.sh") + read(t, "lib/processes.sh") +
		"trap - EXIT\nwrite_processes\nprintf 'names=%s\\n' \"$workers\"\n"
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(text), dir
	all, _ := cmd.CombinedOutput()
	files = map[string]string{}
	found, _ := filepath.Glob(filepath.Join(dir, ".deploy-action/processes/*"))
	for _, file := range found {
		run := exec.CommandContext(t.Context(), "bash", file)
		run.Dir = dir
		said, _ := run.CombinedOutput()
		files[filepath.Base(file)] = string(said)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "evaluated*")); len(left) > 0 {
		t.Errorf("a command ran while it was written: %v", left)
	}
	return cmd.ProcessState.ExitCode(), string(all), files
}

// The commands of the input and of a Procfile arrive as they are, and none runs before its time.
func TestProcessesAreWrittenAsData(t *testing.T) {
	lines := `mailer: printf '%s|' "$NAME" 'it'\''s' "$(echo now)"` + "\n" + `both: echo from the input`
	procfile := "# a comment\r\nweb: touch evaluated-web\r\nrelease: false\n\n  \nboth: echo from the Procfile\n" +
		"sub-1:echo `echo tick`; echo \\$HOME 한글 %i\r\nlast_one:   [ a = a ] && echo 'no line break at the end'"
	code, out, files := written(t, lines, procfile)
	want := map[string]string{
		"mailer": "the value|it's|now|", "both": "from the input\n", "sub-1": "tick\n$HOME 한글 %i\n",
		"last_one": "no line break at the end\n",
	}
	if code != 0 || !strings.Contains(out, "names=mailer both sub-1 last_one") || !maps.Equal(files, want) {
		t.Errorf("exit code %d, files %q\n%s", code, files, out)
	}
	for procfile, want := range map[string]string{
		"":                       "the input processes says Procfile, and the release has no such file in its root",
		"worker: true\nno colon": "line 2 of the Procfile is not NAME: COMMAND",
		"worker:":                "line 1 of the Procfile is not NAME: COMMAND",
		"Worker: true":           "line 1 of the Procfile calls a process Worker: a name must begin with",
		"../../x: true":          "line 1 of the Procfile is not NAME: COMMAND",
	} {
		code, out, _ := written(t, "", procfile)
		if code != 70 || !strings.Contains(out, want) {
			t.Errorf("%q: exit code %d, want %q\n%s", procfile, code, want, out)
		}
	}
	if code, out, files := written(t, "", "web: true\n"); code != 0 || len(files) > 0 ||
		!strings.Contains(out, "names no process but the one that serves") {
		t.Errorf("exit code %d, files %v\n%s", code, files, out)
	}
}

// A systemctl by files: up has the units that run, crashes those that are started over and over, and
// ending those that do not stop. At the call that cut names the script is killed.
const unitsByFiles = `
as_root() { "$@"; }
free_root() { [[ $rights == all ]]; }
systemctl() {
  local unit=${!#}
  case "$*" in
    *show*)
      for unit in "${@:2}"; do
        [[ $unit == *@*.service ]] || continue
        if [[ -e $path/crashes/$unit ]]; then
          printf 'ActiveState=activating\nSubState=auto-restart\nNRestarts=1\nExecMainCode=1\n` +
	`ExecMainStatus=3\nResult=exit-code\n\n'
        elif [[ -e $path/ending/$unit ]]; then
          printf 'ActiveState=deactivating\nSubState=stop-sigterm\n\n'
        elif [[ -e $path/up/$unit ]]; then
          printf 'ActiveState=active\nSubState=running\nNRestarts=%s\nExecMainCode=0\n` +
	`ExecMainStatus=0\nResult=success\n\n' "$(<"$path/up/$unit")"
        else
          printf 'ActiveState=inactive\nSubState=dead\nNRestarts=0\nExecMainCode=0\n` +
	`ExecMainStatus=0\nResult=success\n\n'
        fi
      done
      return
      ;;
    *list-units*)
      for unit in "$path"/up/$unit; do [[ ! -e $unit ]] || printf '%s loaded active running shop\n' "${unit##*/}"; done
      return
      ;;
    *is-active*)
      [[ -e $path/up/$unit && ! -e $path/crashes/$unit ]]
      return
      ;;
    *restart*)
      printf 0 >"$path/up/$unit"
      if [[ -e $path/crashes/$unit ]]; then echo 'queue: no such host' >>"$path/logs/8081-a.log"; fi
      ;;
    *stop*) if [[ ! -e $path/stays/$unit ]]; then rm -f "$path/up/$unit"; fi ;;
    *reset-failed*) return ;;
  esac
  unit=$(tr ' ' '\n' <<<"$*" | grep -xE 'restart|stop|enable|disable')" ${unit#shop.process@}"
  printf '%s\n' "$unit" >>"$path/calls"
  if [[ $unit == "$cut.service" ]]; then kill -KILL $$; fi
}
main "$@" </dev/null
`

// What workers.sh asks of systemd, in which order, and what it leaves written down.
func TestWorkersChangeInOrder(t *testing.T) {
	const old, anew = "20261122T000000Z-aaaaaaa", "20261123T000000Z-bbbbbbb"
	for _, tt := range []struct {
		name    string
		values  Values
		host    string // what is otherwise
		code    int
		calls   string // sorted within a stop, which are made at once
		says    string
		workers string // what is written down of 8080, and of 8081
	}{
		{
			name:    "the old ones end first",
			calls:   "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b,enable 8081-a,restart 8081-a",
			workers: "|" + anew + " a", says: "working=a\nended=a b",
		},
		{
			name: "they overlap", values: Values{"overlap": "yes"},
			calls:   "enable 8081-a,restart 8081-a,disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b",
			workers: "|" + anew + " a",
		},
		{
			name: "it does not stay up", host: "touch $path/crashes/shop.process@8081-a.service", code: ExitWorker,
			calls:   "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b,enable 8081-a,restart 8081-a",
			workers: "|" + anew + " a",
			says: "  | queue: no such host\nthe process a, one of those beside the web process, did not stay up: it exited " +
				"with status 3",
		},
		{
			name: "nor does it when it is taken back", host: "touch $path/crashes/shop.process@8081-a.service",
			values: Values{"trial": "no"}, says: "not up on port 8081: a; it exited with status 3",
			calls:   "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b,enable 8081-a,restart 8081-a",
			workers: "|" + anew + " a",
		},
		{
			name: "the old ones go on", values: Values{"port": "8080", "other": "8081", "trial": "no"},
			host:  "printf 5 >$path/up/shop.process@8080-b.service",
			calls: "enable 8080-a,enable 8080-b", workers: old + " a b|", says: "working=a b\nended=\n",
		},
		{
			name: "the log of one that goes on is not moved away", values: Values{"port": "8080", "other": "8081"},
			host:  "rm $path/up/*-b.service; turn_over() { echo \"turn ${1##*/}\" >>$path/calls; }",
			calls: "enable 8080-a,enable 8080-b,turn 8080-b.log,restart 8080-b", workers: old + " a b|",
		},
		{
			name: "of the slot's release before", values: Values{"port": "8080", "other": "8081", "trial": "no"},
			host:    "echo 20261121T000000Z-9999999 a c >$path/slots/8080.workers",
			calls:   "disable 8080-a,disable 8080-c,stop 8080-a,stop 8080-c,enable 8080-a,restart 8080-a,enable 8080-b",
			workers: old + " a b|",
		},
		{
			name: "none any more", host: "rm -r $path/releases/" + anew + "/.deploy-action/processes",
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b", workers: "|", says: "working=\nended=a b",
		},
		{
			name: "the first deployment is taken back", values: Values{"port": "", "other": "8080", "trial": "no"},
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b", workers: "|", says: "working=\nended=a b",
		},
		{
			name: "one does not end", host: "touch $path/stays/shop.process@8080-b.service", code: ExitStop,
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b", workers: old + "-changing a b|",
			says: "these processes of port 8080 still run: b",
		},
		{
			name: "one is still ending", host: "touch $path/ending/shop.process@8080-b.service", code: ExitStop,
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b", workers: old + "-changing a b|",
			says: "these processes of port 8080 still run: b",
		},
		{
			name: "one waits to be started again, and is not stopped", code: ExitStop,
			host: "touch $path/{stays,crashes}/shop.process@8080-b.service", workers: old + "-changing a b|",
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b",
			says:  "these processes of port 8080 still run: b",
		},
		{
			name: "cut off while the old ones end", host: "cut='disable 8080-b'", code: -1,
			calls: "disable 8080-a,disable 8080-b", workers: old + "-changing a b|",
		},
		{
			name: "that one is put right", values: Values{"port": "8080", "other": "8081", "trial": "no"},
			host:  "echo " + old + "-changing a b >$path/slots/8080.workers; rm $path/up/*-a.service",
			calls: "enable 8080-a,restart 8080-a,enable 8080-b", workers: old + " a b|", says: "working=a b\n",
		},
		{
			name: "cut off while the new ones begin", values: Values{"port": "8080", "other": "8081"}, code: -1,
			host:  "rm $path/slots/*.workers $path/up/*; cut='restart 8080-a'",
			calls: "enable 8080-a,restart 8080-a", workers: old + "-changing a b|",
		},
		{
			name: "of both slots", host: "cd $path/slots; echo " + old + "-changing a b >8080.workers; " +
				"echo " + anew + "-changing a >8081.workers", says: "working=a\nended=a b",
			calls:   "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b,enable 8081-a,restart 8081-a",
			workers: "|" + anew + " a",
		},
		{
			name: "the disk takes nothing, and they end", values: Values{"port": "", "other": "8080", "trial": "no"},
			host:  "write() { return 1; }",
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b", workers: "|", says: "ended=a b",
		},
		{
			name:   "what was started and could not be written down ends, too",
			values: Values{"port": "8080", "other": "8081", "trial": "no"}, says: "working=a b\nended=a sub-1\n",
			host:    `process_unit=$path; for name in a sub-1; do printf 0 >$path/up/shop.process@8081-$name.service; done`,
			calls:   "disable 8081-a,disable 8081-sub-1,stop 8081-a,stop 8081-sub-1,enable 8080-a,enable 8080-b",
			workers: old + " a b|",
		},
		{
			name: "nor does it go on as that of another release", host: "process_unit=$path; rm $path/slots/8080.workers",
			values: Values{"port": "8080", "other": "8081", "trial": "no"}, workers: old + " a b|",
			calls: "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b,enable 8080-a,restart 8080-a,enable 8080-b," +
				"restart 8080-b",
		},
		{
			name: "few rights", host: "rights=few", values: Values{"processes": "a"}, code: ExitCheck,
			workers: old + " a b|", says: "and none for these processes: b; name each in the input processes",
		},
		{
			name: "few rights, and each named", host: "rights=few", values: Values{"processes": "b a"},
			calls:   "disable 8080-a,disable 8080-b,stop 8080-a,stop 8080-b,enable 8081-a,restart 8081-a",
			workers: "|" + anew + " a",
		},
		{
			name:    "the disk takes nothing, and it is taken back",
			values:  Values{"port": "8080", "other": "8081", "trial": "no", "undo": "yes"},
			host:    "rm $path/up/*; write() { return 1; }",
			calls:   "enable 8080-a,restart 8080-a,enable 8080-b,restart 8080-b",
			workers: old + " a b|",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bash(t, "cd "+quote(dir)+`
				mkdir -p up crashes stays ending slots logs releases/`+old+`/.deploy-action/processes `+
				`releases/`+anew+`/.deploy-action/processes
				touch releases/{`+old+`/.deploy-action/processes/{a,b},`+anew+`/.deploy-action/processes/a}
				ln -s ../releases/`+old+" slots/8080; ln -s ../releases/"+anew+` slots/8081
				echo t >.lock.holder; echo `+old+` a b >slots/8080.workers
				for name in a b; do printf 0 >up/shop.process@8080-$name.service; done`)
			values := Values{
				"app": "shop", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "8080 8081", "processes": "",
				"port": "8081", "other": "8080", "overlap": "no", "trial": "yes", "watch_for": "300",
				"carries": "no",
			}
			maps.Copy(values, tt.values)
			text, err := Compose(Workers, values)
			if err != nil {
				t.Fatal(err)
			}
			text = bytes.Replace(text, []byte("main \"$@\" </dev/null\n"),
				[]byte("rights=all cut=''\n"+tt.host+"\n"+unitsByFiles), 1)
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.Stdin = bytes.NewReader(text)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.says, out)
			}
			made := bash(t, "cd "+quote(dir)+`; touch calls; `+
				`awk '{ run = $1 == "stop" ? "stop" : "n" NR; print run, $0 }' calls |
				awk '$1 != last { n++; last = $1 } { print n, $2, $3 }' | sort -s -k 1,1n -k 3,3 | cut -d ' ' -f 2- | paste -sd ,`)
			if got := strings.ReplaceAll(strings.TrimSpace(made), ".service", ""); got != tt.calls {
				t.Errorf("calls\n%s\nwant\n%s", got, tt.calls)
			}
			if got := bash(t, "cd "+quote(dir)+`/slots; printf '%s|%s' "$(cat 8080.workers 2>/dev/null)" `+
				`"$(cat 8081.workers 2>/dev/null)"`); got != tt.workers {
				t.Errorf("written down %q, want %q", got, tt.workers)
			}
		})
	}
}
