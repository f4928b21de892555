package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote/sshtest"
	"github.com/clothesme/deploy-action/scripts"
)

// What a host may cost the runner, whatever it sends.
const (
	mostMemory = 300 << 20
	mostLog    = 40 << 20
	mostTime   = 10 * time.Minute
)

// noise is a host in the wrong hands that sends without an end, to the action as the runner starts
// it. The action may fail; it must not fill the runner's memory or its disk, nor go on until the
// time-out.
func noise(t *testing.T, table *Table) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "deploy-action")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	history := `{"outcome":"deployed","actor":"` + strings.Repeat("<@", 62500) + `"}`
	for _, tt := range []struct {
		name, source, verb string
		output             string // in the place of the honest one
		words, results     func(io.Writer) error
		offer              func(t *testing.T, file string)
		fails              bool
		happened           string
	}{
		{
			name: "400 MB of a build's words", verb: "build", words: much(400, "Downloading\n"),
			output: answers()["build"], happened: "deployed; 4 MB are printed, the rest is counted",
		},
		{
			name: "400 MB of them in one line", verb: "build", words: much(400, "x"), output: answers()["build"],
			happened: "deployed; the line is cut",
		},
		{
			name: "100 MB of empty lines", verb: "build", words: much(100, "\n"), output: answers()["build"],
			happened: "deployed; 4 MB are printed, the rest is counted",
		},
		{
			name: "400 MB of results", verb: "check", results: much(400, "a=b\n"), fails: true,
			happened: "failed: more than 1048576 bytes of results",
		},
		{
			name: "400 MB of results in one line", verb: "check", results: much(400, "x"), fails: true,
			happened: "failed: more than 1048576 bytes of results",
		},
		{
			name: "history lines of 125,000 characters", verb: "record",
			output:   "history_0=" + history + "\nhistory_1=" + history + "\nhistory_2={}\nrecorded=yes\n",
			happened: "deployed; what a person would read of them is in the summary",
		},
		{
			name: "a manifest without an end", source: "workspace",
			offer: func(t *testing.T, file string) { link(t, "/dev/zero", filepath.Dir(file), "offer") }, fails: true,
			happened: "failed: the download ends at the first byte that is too many",
		},
		{
			name: "64 KB that unpack to 256 MB of lines", source: "workspace", offer: bomb,
			happened: "deployed; everything is sent",
		},
		{
			name: "names that are not here, of 256 MB", source: "workspace", offer: strangers,
			happened: "deployed; everything is sent",
		},
	} {
		table.Try(t, "a host that does not stop", tt.name, func(t *testing.T) string {
			dir := t.TempDir()
			if tt.offer != nil {
				tt.offer(t, filepath.Join(dir, "offer"))
			}
			server := sshtest.Start(t, sshtest.Options{
				Subsystem: func(e *sshtest.Exec) {
					e.Line = "exec /usr/lib/openssh/sftp-server"
					sshtest.Shell(e)
				},
				Handle: func(e *sshtest.Exec) {
					sshtest.Converse(e, scripts.Begin, func(v *sshtest.Verb) {
						output := answers()[v.Name]
						switch v.Name {
						case "offer":
							output = "transfer=" + dir + "\nbase=20261122T000000Z-aaaaaaa\ndisk_kb=900000\ninodes=0\ntaken=no\n"
						case "receive":
							output = "ready=yes\nreceived=yes\n"
							if err := os.WriteFile(filepath.Join(dir, "stream"), nil, 0o600); err != nil {
								t.Error(err)
							}
						}
						if v.Name == tt.verb {
							output = tt.output
						}
						if v.Name == tt.verb && tt.words != nil {
							_ = tt.words(v.Words)
						}
						_, _ = io.WriteString(v.Results, output)
						if v.Name == tt.verb && tt.results != nil {
							_ = tt.results(v.Results)
						}
						<-v.Closed
						if v.Name == "receive" {
							waitForStream(filepath.Join(dir, "stream"))
						}
						v.End(0)
					})
				},
			})
			workspace := filepath.Join(dir, "workspace")
			write(t, filepath.Join(workspace, "main.py"), "x")
			log, used := act(t, binary, map[string]string{
				"INPUT_HOST": fmt.Sprintf("ubuntu@127.0.0.1:%d", server.Port()), "INPUT_KEY": newKey(t),
				"INPUT_KNOWN-HOSTS": server.KnownHosts(),
				"INPUT_WATCH-FOR":   "0s", "INPUT_SOURCE": tt.source, "GITHUB_WORKSPACE": workspace,
				"GITHUB_REPOSITORY": "acme/shop", "GITHUB_SHA": strings.Repeat("1", 40), "INPUT_REF": "main",
				"GITHUB_SERVER_URL": "https://github.com",
				"GITHUB_RUN_ID":     "4711", "GITHUB_RUN_NUMBER": "7", "GITHUB_STEP_SUMMARY": filepath.Join(dir,
					"summary"),
			})
			if used.failed != tt.fails {
				t.Fatalf("failed: %v\n%s", used.failed, log[max(len(log)-3000, 0):])
			}
			if used.memory > mostMemory || used.log > mostLog || used.took > mostTime {
				t.Errorf("it took %d MB of memory, %d MB of log and %s", used.memory>>20, used.log>>20, used.took)
			}
			if info, err := os.Stat(filepath.Join(dir, "summary")); err != nil || info.Size() >= 1<<20 {
				t.Errorf("summary: %v, %v", info, err)
			}
			t.Logf("%d MB of memory, %d KB of log, %s", used.memory>>20, used.log>>10,
				used.took.Round(time.Millisecond))
			return tt.happened
		})
	}
}

// waitForStream returns when something has been sent.
func waitForStream(file string) {
	for range 1000 {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

type usage struct {
	failed      bool
	memory, log int64
	took        time.Duration
}

// act runs the action to its end.
func act(t *testing.T, binary string, env map[string]string) (log string, used usage) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err := cmd.Run()
	used = usage{failed: err != nil, log: int64(out.Len()), took: time.Since(begin)}
	if rusage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		used.memory = rusage.Maxrss << 10
	} else {
		t.Error("nobody knows how much memory it took")
	}
	return out.String(), used
}

// much writes a text over and over.
func much(megabytes int, text string) func(io.Writer) error {
	return func(w io.Writer) error {
		chunk := []byte(strings.Repeat(text, 1<<20/len(text)))
		for range megabytes {
			if _, err := w.Write(chunk); err != nil {
				return err
			}
		}
		return nil
	}
}

// bomb offers lines that are nothing, packed well.
func bomb(t *testing.T, file string) {
	t.Helper()
	pack(t, file, func(w io.Writer) error { return much(256, "\n")(w) })
}

// strangers offers names that the workspace does not have.
func strangers(t *testing.T, file string) {
	t.Helper()
	pack(t, file, func(w io.Writer) error {
		for n := range 256 << 20 / 4096 {
			if _, err := fmt.Fprintf(w, "f\t444\t1\t0123456789abcdef\t%04000d\n", n); err != nil {
				return err
			}
		}
		return nil
	})
}

func pack(t *testing.T, file string, text func(io.Writer) error) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	for _, err := range []error{text(z), z.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
