package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// targets are many hosts, in one container, that are reached through one bastion: that container's
// sshd, which is as Debian has it.
type targets struct {
	*world.World
	n int
}

func newTargets(t *testing.T, n int) *targets {
	t.Helper()
	ts := &targets{world.New(t, lab.HostOptions{NoSystemd: true, Engine: true}), n}
	text, err := os.ReadFile("testdata/targets.py")
	if err == nil {
		err = ts.Host.WriteFile(ts.Ctx, "/targets.py", 0o755, "root", string(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := ts.Exec("sshd -T | grep -i '^maxstartups'"); got != "maxstartups 10:30:100" {
		t.Fatalf("the bastion has %s", got)
	}
	ts.Exec(fmt.Sprintf(`setsid python3 /targets.py %d >/targets.log 2>&1 </dev/null &
until grep -q ^ready /targets.log; do kill -0 $! || { cat /targets.log; exit 1; }; sleep 0.1; done`, n))
	return ts
}

// with are the inputs that lead to all of them.
func (ts *targets) with(more map[string]string) map[string]string {
	var hosts, known []string
	for n := range ts.n {
		at := fmt.Sprintf("127.0.1.%d", n+1)
		hosts = append(hosts, "ubuntu@"+at+":2222")
		known = append(known, strings.ReplaceAll(ts.Host.KnownHosts(), ts.Host.IP+" ", "["+at+"]:2222 "))
	}
	return merged(merged(files, map[string]string{
		"host": strings.Join(hosts, "\n"), "known-hosts": strings.Join(known, "\n"),
		"proxy-jump": "ubuntu@" + ts.Host.IP, "proxy-jump-key": world.Shared.Key.Private,
		"proxy-jump-fingerprint": ts.Host.Fingerprints()["ssh-ed25519"],
	}), more)
}

// taken is what a run took and said.
type taken struct {
	*lab.Result
	connect                            time.Duration
	memory, descriptors                int // MB, and how many, at most
	logBytes, annotations, longestLine int
}

// measure runs the action, and looks at its process meanwhile.
func (ts *targets) measure(with map[string]string) taken {
	ts.T.Helper()
	running, err := ts.Runner.Start(ts.Ctx, ts.Job(workspaceRef, ts.with(with)))
	if err != nil {
		ts.T.Fatal(err)
	}
	ended, watched := make(chan struct{}), make(chan struct{})
	m := taken{}
	go func() {
		defer close(watched)
		m.watch(ts.Ctx, running, ended)
	}()
	m.Result, err = running.Wait()
	close(ended)
	<-watched
	if err != nil {
		ts.T.Fatal(err)
	}
	for _, line := range m.Lines {
		if line.Command != nil && !slices.Contains([]string{"group", "endgroup", "error", "warning", "notice"},
			line.Command.Name) {
			continue // is not shown
		}
		m.logBytes += len(line.Text) + 1
		m.longestLine = max(m.longestLine, len(line.Text))
	}
	m.annotations = len(m.Annotations())
	m.connect = connecting(m.Result)
	return m
}

// watch notes what the action's process takes, until it has ended.
func (m *taken) watch(ctx context.Context, running *lab.Running, ended <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	process := 0
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		if process == 0 {
			process, _ = running.Process(ctx) // not before it is started
			continue
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
		if _, after, found := strings.Cut(string(status), "VmHWM:"); found {
			if kb, err := strconv.Atoi(strings.Fields(after)[0]); err == nil {
				m.memory = max(m.memory, kb>>10)
			}
		}
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", process))
		m.descriptors = max(m.descriptors, len(open))
	}
}

func (m taken) String() string {
	return fmt.Sprintf("exit code %d, %q in %.1fs, connected after %.1fs; %d MB, %d descriptors; log %d bytes, "+
		"longest line %d, %d annotations",
		m.ExitCode, m.Outputs["outcome"], m.Duration().Seconds(), m.connect.Seconds(), m.memory,
		m.descriptors, m.logBytes, m.longestLine, m.annotations)
}

// connects counts how often all targets are connected to, and returns how long that took each time. The
// runs end right then: there is nothing to send.
func (ts *targets) connects(rounds int) (good int, took []time.Duration) {
	ts.T.Helper()
	for range rounds {
		result := ts.Run(ts.Job(workspaceRef, ts.with(map[string]string{"connect-timeout": "2m"})))
		took = append(took, connecting(result))
		if strings.Contains(result.Log(), "✓ connect: ") && strings.Contains(result.Log(), "has no files to send") {
			good++
		} else {
			ts.T.Logf("connected after %s:\n%s", took[len(took)-1], result.Log())
		}
	}
	slices.Sort(took)
	return good, took
}

func connecting(result *lab.Result) time.Duration {
	for _, group := range result.Groups() {
		if group.Title == "Connecting" {
			return group.End.Sub(group.Start)
		}
	}
	return 0
}

// What it may take to deploy to a hundred hosts (issue 19).
const (
	mostConnecting  = 10 * time.Second
	mostMemory      = 120 // MB
	mostDescriptors = 300
	mostLog         = 120_000 // bytes
	mostAnnotations = 5
	mostLine        = 1024 // bytes
)

// workspaceRef is what a workspace's checkout is of.
const workspaceRef = "1234567890123456789012345678901234567890"

var (
	scaleTargets  = flag.Int("targets", 12, "how many hosts TestManyHostsThroughOneBastion has")
	scaleConnects = flag.Int("connects", 1, "how often it connects to all of them")
	scaleReport   = flag.Bool("scale-report", false, "deploy to them, too, and write docs/proof/scale.md")
)

// An sshd drops connections when ten are not logged in yet; one bastion still leads to a whole fleet.
// What is printed of it is read by one person, and the runner has other things to do.
func TestManyHostsThroughOneBastion(t *testing.T) {
	ts := newTargets(t, *scaleTargets)
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	good, took := ts.connects(*scaleConnects)
	most := time.Minute // beside others
	if *scaleReport {
		most = mostConnecting
	}
	if slowest := took[len(took)-1]; good < *scaleConnects || slowest > most {
		t.Errorf("%d of %d runs connected to all hosts, after %s at most", good, *scaleConnects, slowest)
	}
	c := &checkout{ts.World}
	c.put("health", "1")
	table := fmt.Sprintf(scaleHead, ts.n, *scaleConnects, good, took[0].Seconds(), took[len(took)/2].Seconds(),
		took[len(took)-1].Seconds(), strings.Fields(string(load))[0])
	runs := []struct{ what, operation, outcome string }{{"check", "check", "unchanged"}}
	if *scaleReport { // which takes minutes: each host has its share of this machine's processors
		runs = append(runs, []struct{ what, operation, outcome string }{
			{"first deployment", "deploy", "deployed"}, {"status", "status", "unchanged"},
		}...)
	}
	for _, tt := range runs {
		run := ts.measure(map[string]string{"operation": tt.operation, "health-timeout": "5m", "timeout": "30m"})
		t.Logf("%s: %s", tt.what, run)
		if run.ExitCode != 0 || run.Outputs["outcome"] != tt.outcome {
			t.Fatalf("%s: %s\n%s", tt.what, run, run.Log())
		}
		if run.memory > mostMemory || run.descriptors > mostDescriptors || run.logBytes > mostLog ||
			run.annotations > mostAnnotations || run.longestLine > mostLine {
			t.Errorf("%s: %s\n%s", tt.what, run, run.Log())
		}
		table += fmt.Sprintf("| %s | %.0f s | %d MB | %d | %d bytes | %d bytes | %d | %s |\n",
			tt.what, run.Duration().Seconds(), run.memory, run.descriptors, run.logBytes, run.longestLine, run.annotations,
			world.ActionBuild(t))
	}
	if *scaleReport {
		world.Prove(t, "scale.md", table+scaleFoot)
	}
}

const scaleHead = `# %d hosts through one bastion

Made by ` + "`make scale`" +
	`, which runs the action's image against as many sshd, each with files, processes, a network and an
nginx of its own, in one container on this machine. They are reached through one sshd as Debian has it (MaxStartups
10:30:100). There is no systemd in them, and what they serve is Python's file server, sent from the workspace.

Of %d runs in a row %d connected to all hosts, after %.1f s at least, %.1f s as the median and %.1f s at most. ` +
	`The goal is
10 s, on a machine that has nothing else to do; this one had a load of %s on its processors when they began.

| run | duration | memory of the runner | descriptors | log | longest line | annotations | build |
|---|---|---|---|---|---|---|---|
| may take |  | 120 MB | 300 | 120000 bytes | 1024 bytes | 5 |  |
`

const scaleFoot = `
All hosts share this machine's processors, and so do their visitors' bastion and the runner: durations are made of that.
`
