package deploy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"github.com/clothesme/deploy-action/scripts"
)

// switched says how often requests went to and fro on each host.
func (fl fakeFleet) switched() string {
	var all []string
	for _, f := range fl {
		n := 0
		for _, call := range f.calls {
			if strings.HasPrefix(call, "switch ") || call == "replace" || call == "resume" {
				n++
			}
		}
		all = append(all, fmt.Sprint(n))
	}
	return strings.Join(all, " ")
}

// A batch that turns out bad goes back, and so do those before it; hosts of later ones never had the
// new version, and the old one was stopped nowhere.
func TestABadBatchTakesThoseBeforeItBack(t *testing.T) {
	one, half, all := inputs.Share{Number: 1}, inputs.Share{Number: 50, Percent: true},
		inputs.Share{Number: 100, Percent: true}
	for _, tt := range []struct {
		bad      int // the host
		strategy inputs.Strategy
		batches  []inputs.Share
		switched string
		said     string // by the log
	}{
		{0, inputs.BlueGreen, []inputs.Share{one, half, all}, "2 0 0 0", "in 3 batches (1, 1, 2)"},
		{1, inputs.BlueGreen, []inputs.Share{one, half, all}, "2 2 0 0", "Switching on web-2"},
		{3, inputs.BlueGreen, []inputs.Share{one, half, all}, "2 2 2 2", "Verifying through nginx on web-3, web-4"},
		{1, inputs.BlueGreen, []inputs.Share{all}, "2 2 2 2", "Switching\n"},
		{0, inputs.InPlace, []inputs.Share{one, half, all}, "2 0 0 0", "Replacing the version on web-1"},
		{3, inputs.InPlace, []inputs.Share{one, half, all}, "2 2 2 2", "Replacing the version on web-3, web-4"},
	} {
		t.Run(fmt.Sprintf("%s, host %d", tt.strategy, tt.bad+1), func(t *testing.T) {
			fleet := newFleet(t, 4)
			fleet[tt.bad].faults[scripts.Verify] = fault{kind: "error", code: scripts.ExitUnhealthy, words: "answered 500"}
			in := fleet.inputs()
			in.Strategy, in.Batches = tt.strategy, tt.batches
			result, log, err := fleet.deploy(t, in)
			if err == nil || result.Outcome != outcome.Restored || fleet.switched() != tt.switched {
				t.Errorf("%v, outcome %s, switched %s\n%s", err, result.Outcome, fleet.switched(), log)
			}
			if !strings.Contains(log, tt.said) {
				t.Errorf("the log lacks %q:\n%s", tt.said, log)
			}
			for i, f := range fleet {
				old := f.releases[f.flag] == "" || f.releases[f.flag] == oldRelease
				if !f.running[f.flag] || !old || len(f.running) != 1 || slices.Contains(f.calls, "mark") || f.holder != "" {
					t.Errorf("web-%d: flag %s, running %v, releases %v", i+1, f.flag, f.running, f.releases)
				}
			}
			if _, log, err := fleet.deploy(t, in); err != nil || fleet[3].releases[fleet[3].flag] == "" {
				t.Errorf("the next run: %v\n%s", err, log)
			}
		})
	}
}

// Hosts count that get the release: one that serves it already is in no batch.
func TestBatchesAreOfTheHostsThatGetTheRelease(t *testing.T) {
	d := assemble(&run{in: &inputs.Inputs{
		Batches: []inputs.Share{{Number: 1}, {Number: 34, Percent: true}, {Number: 100, Percent: true}},
	}})
	for range 8 {
		d.hosts = append(d.hosts, &target{})
	}
	batches := func() string {
		var b strings.Builder
		for _, h := range d.hosts {
			if !h.unchanged {
				fmt.Fprint(&b, d.batches.batchOf(h))
			}
		}
		return b.String()
	}
	if got := batches(); got != "01122222" {
		t.Errorf("of 8: %s", got)
	}
	for n, h := range d.hosts {
		h.unchanged = n%2 == 0
	}
	if got := batches(); got != "0122" {
		t.Errorf("of 4: %s", got)
	}
}

func TestTheOutputSaysInWhichBatchAHostWas(t *testing.T) {
	fleet := newFleet(t, 3)
	in := fleet.inputs()
	in.Batches = []inputs.Share{{Number: 1}, {Number: 100, Percent: true}}
	result, log, err := fleet.deploy(t, in)
	if err != nil || len(result.Hosts) != 3 {
		t.Fatalf("%v\n%s", err, log)
	}
	for i, want := range []int{1, 2, 2} {
		if got := result.Hosts[i].Batch; got != want {
			t.Errorf("web-%d: batch %d, want %d", i+1, got, want)
		}
	}
}

// Hosts that are not reachable are left out, as many as may be, and none that fails otherwise.
func TestHostsThatAreNotReachable(t *testing.T) {
	for _, tt := range []struct {
		name  string
		skip  inputs.Share
		gone  []int
		flags string
		words []string // of the failure
	}{
		{"none may be left out", inputs.Share{}, []int{1}, "8080 8080 8080", []string{"host: ubuntu@web-2\n", "no answer"}},
		{"one is", inputs.Share{Number: 1}, []int{1}, "8081 8080 8081", nil},
		{"the first is", inputs.Share{Number: 50, Percent: true}, []int{0}, "8080 8081 8081", nil},
		{"all but one are", inputs.Share{Number: 2}, []int{0, 2}, "8080 8081 8080", nil},
		{"too many are not", inputs.Share{Number: 1}, []int{0, 2}, "8080 8080 8080", []string{
			"host: ubuntu@web-1, ubuntu@web-3\n", `2 of 3 hosts are not reachable, and the input "skip-unreachable" lets 1`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 3)
			in := fleet.inputs()
			in.SkipUnreachable = tt.skip
			for _, n := range tt.gone {
				fleet[n].gone = true
			}
			result, log, err := fleet.deploy(t, in)
			if (err != nil) != (tt.words != nil) || fleet.flags() != tt.flags {
				t.Errorf("%v, flags %s\n%s", err, fleet.flags(), log)
			}
			for _, words := range tt.words {
				if err != nil && !strings.Contains(err.Error(), words) {
					t.Errorf("the failure lacks %q: %v", words, err)
				}
			}
			var want []string
			for _, n := range tt.gone {
				if tt.words == nil {
					want = append(want, fmt.Sprintf("ubuntu@web-%d", n+1))
				}
			}
			if !slices.Equal(result.Skipped, want) || len(result.Hosts)+len(want) != 3 {
				t.Errorf("skipped %q of %d hosts", result.Skipped, len(result.Hosts))
			}
			for _, name := range want {
				if !strings.Contains(log, "Left out%3A "+strings.TrimPrefix(name, "ubuntu@")) {
					t.Errorf("no warning names %s:\n%s", name, log)
				}
			}
			for _, n := range tt.gone {
				fleet[n].gone = false
			}
			if result, log, err := fleet.deploy(t, in); err != nil || len(result.Hosts) != 3 || result.Skipped != nil {
				t.Errorf("the next run: %v, %q\n%s", err, result.Skipped, log)
			}
		})
	}
}

// Each host has connect-timeout for itself, however many wait for their turn to be logged in to.
func TestMoreHostsAreAwayThanAreLoggedInToAtOnce(t *testing.T) {
	signer := sshtest.Signer(t, "ed25519")
	keys, err := remote.NewHostKeys("", []string{"SHA256:" + strings.Repeat("A", 43)})
	if err != nil {
		t.Fatal(err)
	}
	for away, timeout := range map[int]time.Duration{25: 30 * time.Second, host.LoginsAtOnce + 1: 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			fleet := newFleet(t, away+2)
			in := fleet.inputs()
			in.Timeout, in.ConnectTimeout = 30*time.Minute, timeout
			in.SkipUnreachable = inputs.Share{Number: 95, Percent: true}
			silent := host.SSH(remote.Config{
				Signer: signer, HostKeys: keys, ConnectTimeout: timeout,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				},
			}, nil)
			d := New(in, report.New(io.Discard, func(string) string { return "" }), func(
				ctx context.Context, at remote.Host,
			) (host.Shell, error) {
				if slices.Index(in.Hosts, at) >= 2 {
					return silent(ctx, at)
				}
				return fleet.dial(ctx, at)
			}, fleet[0].open, time.Now())
			result, err := d.Run(t.Context())
			if err != nil || len(result.Skipped) != away || len(result.Hosts) != 2 {
				t.Errorf("%d away: %d left out, %.300v", away, len(result.Skipped), err)
			}
		})
	}
}

func TestOnlyWhatDoesNotAnswerIsLeftOut(t *testing.T) {
	at := remote.Host{User: "ubuntu", Name: "web-1", Port: 22}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{&remote.DialError{Host: at, Kind: remote.Timeout}, true},
		{&remote.DialError{Host: at, Kind: remote.Refused}, true},
		{&remote.DialError{Host: at, Kind: remote.Unreachable}, true},
		{&remote.DialError{Host: at, Kind: remote.Handshake, Passing: true}, true}, // it starts, or is full
		{&remote.DialError{Host: at, Kind: remote.Handshake}, false},
		{&remote.DialError{Host: at, Kind: remote.Resolve}, false},
		{&remote.JumpError{Err: &remote.DialError{Host: at, Kind: remote.Timeout}}, false},
		{&remote.AuthError{Host: at.String()}, false},
		{&remote.HostKeyError{}, false},
	} {
		if got := unreachable(fmt.Errorf("connect: %w", tt.err)); got != tt.want {
			t.Errorf("%#v: %v", tt.err, got)
		}
	}
}

// What puts no release live is done on each host, whatever becomes of the others.
func TestWhatPutsNothingLiveIsDoneOnEachHost(t *testing.T) {
	for _, tt := range []struct {
		operation inputs.Operation
		verb      scripts.Verb
	}{
		{inputs.RunIt, scripts.Run},
		{inputs.Logs, scripts.Logs},
		{inputs.Status, scripts.Releases},
		{inputs.Maintenance, scripts.Maintenance},
		{inputs.Check, scripts.Check},
	} {
		fleet := newFleet(t, 3)
		fleet[0].faults[tt.verb] = fault{kind: "error", code: scripts.ExitDisk, words: "no"}
		in := fleet.inputs()
		in.Operation, in.Command, in.Maintenance, in.Logs = tt.operation, "true", true,
			inputs.LogsOf{Of: []string{"app"}, Lines: 9}
		_, log, err := fleet.deploy(t, in)
		if err == nil || !strings.Contains(err.Error(), "host: ubuntu@web-1\n") {
			t.Errorf("%s: %v", tt.operation, err)
		}
		for i, f := range fleet {
			if !slices.Contains(f.calls, string(tt.verb)) {
				t.Errorf("%s: web-%d was not asked: %q\n%s", tt.operation, i+1, f.calls, log)
			}
		}
	}
}

// writes keeps what is written, each time by itself.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// The lists of several hosts are told apart, whoever else prints at that moment: those of a host
// are printed at once.
func TestWhatIsToldOfAHostStaysTogether(t *testing.T) {
	for _, tt := range []struct {
		operation         inputs.Operation
		dry               bool
		heading, in, last string // of the host's block: in the summary, its first line in the log, and its last one
	}{
		{inputs.Status, false, "#### `%s`\n", "%s:\nslot ", "\ntime "},
		{inputs.Deploy, true, "Plan for `%s`:\n", "plan for %s:\n  1. ", "\n  2. "},
		{inputs.Remove, false, "On `%s`:\n", "on %s:\n  would go: ", "\n  stays: "},
	} {
		fleet := newFleet(t, 3)
		in := fleet.inputs()
		in.Operation, in.DryRun = tt.operation, tt.dry
		var log writes
		d := New(in, report.New(&log, func(string) string { return "" }), fleet.dial, fleet[0].open, time.Now())
		d.patience = 20 * time.Millisecond
		result, err := d.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range fleet {
			name := fmt.Sprintf("ubuntu@web-%d", i+1)
			whole := slices.ContainsFunc(log, func(w string) bool {
				return strings.HasPrefix(w, fmt.Sprintf(tt.in, name)) && strings.Contains(w, tt.last)
			})
			if !whole || strings.Count(result.Details, fmt.Sprintf(tt.heading, name)) != 1 {
				t.Errorf("%s: %s:\n%s\n%q", tt.operation, name, result.Details, log)
			}
		}
	}
}

// The post step tidies the hosts that it can.
func TestThePostStepTidiesTheOtherHosts(t *testing.T) {
	const untouched = "it is as the run has left it; the next deployment tidies it up"
	for _, tt := range []struct {
		name string
		hurt func(*fakeHost)
		says string
		left string // of that host, in the summary
	}{
		{"one is not reachable", func(f *fakeHost) { f.gone = true }, "connect on ubuntu@web-2: ", untouched},
		{"one can't be tidied", func(f *fakeHost) {
			f.faults[scripts.Stop] = fault{kind: "error", code: scripts.ExitStop, words: "it does not end"}
		}, "web-2: clear: it does not end", "not all of it is tidied up; the next deployment does that"},
		{"another run has one", func(f *fakeHost) {
			f.faults[scripts.Port] = fault{kind: "error", code: scripts.ExitLockLost, words: "another run"}
		}, "web-2: detect: another run", "another deployment has it"},
		{"one is lost on the way", func(f *fakeHost) {
			f.faults[scripts.Port] = fault{kind: "gone-before"}
		}, "web-2: detect: ", untouched},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 3)
			for _, f := range fleet { // as a run leaves it that was killed on probation
				f.flag, f.running["8081"], f.releases["8081"] = "8081", true, "20261123T000000Z-bbbbbbb"
			}
			tt.hurt(fleet[1])
			log, summary, err := fleet.tidy(t, fleet.dial)
			for i, f := range fleet {
				if i != 1 && (f.flag != "8080" || f.running["8081"] || f.holder != "") {
					t.Errorf("web-%d: flag %s, running %v, lock %q\n%s", i+1, f.flag, f.running, f.holder, log)
				}
			}
			if err != nil || !strings.Contains(log, "::warning title=Left to the next deployment::"+tt.says) {
				t.Errorf("%v, want %q in\n%s", err, tt.says, log)
			}
			for _, words := range []string{
				"its post step has tidied up 2 of 3 hosts.", "web-1: " + oldRelease + " on port 8080 serves\n",
				"web-2: " + tt.left + "\n",
			} {
				if !strings.Contains(summary, words) {
					t.Errorf("the summary lacks %q:\n%s", words, summary)
				}
			}
		})
	}
}

// tidy is the post step, and returns its log and its summary.
func (fl fakeFleet) tidy(t *testing.T, dial host.Dialer) (log, summary string, err error) {
	t.Helper()
	in := fl.inputs()
	in.Operation, in.Timeout = inputs.Tidy, 12*time.Second
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "summary")
	err = New(in, report.New(&out, func(name string) string {
		return map[string]string{"GITHUB_STEP_SUMMARY": file}[name]
	}), dial, nil, time.Now()).Tidy(t.Context(), func(string) string { return "" })
	text, readErr := os.ReadFile(file)
	if err == nil && readErr != nil {
		t.Error(readErr)
	}
	return out.String(), string(text), err
}

// A run that dies while it marks the release as proved leaves hosts with both, and the post step does
// not choose for all: that is a deployment.
func TestThePostStepSaysThatNotAllHostsServeTheSame(t *testing.T) {
	fleet := newFleet(t, 2)
	for _, f := range fleet {
		f.flag, f.running["8081"], f.releases["8081"] = "8081", true, "20261123T000000Z-bbbbbbb"
	}
	fleet[0].proved["8081"] = true
	log, summary, err := fleet.tidy(t, fleet.dial)
	if err != nil || fleet.flags() != "8081 8080" ||
		!strings.Contains(log, "::warning title=Not all hosts serve the same::run this workflow again%0A") ||
		!strings.Contains(summary, "tidied up. Not all hosts serve the same: run this workflow again.") {
		t.Errorf("%v, flags %s\n%s\n%s", err, fleet.flags(), log, summary)
	}
}

// A commit that was made alike is the same to visitors, whatever ids it has.
func TestHostsThatServeOneCommitUnderTwoIDsDoNotDiffer(t *testing.T) {
	const differs = "::warning title=Hosts differ::not all hosts serve the same release now: "
	for _, tt := range []struct {
		name    string
		commits [2]string
		recipe  string // "" for that of this run
		unwell  bool   // nothing listens on the second host
		differ  bool
	}{
		{name: "alike", commits: [2]string{newCommit, newCommit}},
		{name: "another commit than this run's", commits: [2]string{oldCommit, oldCommit}},
		{name: "two commits", commits: [2]string{newCommit, oldCommit}, differ: true},
		{name: "made in another way", commits: [2]string{newCommit, newCommit}, recipe: "other", differ: true},
		{name: "one is down", commits: [2]string{newCommit, newCommit}, unwell: true, differ: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := newFleet(t, 2)
			in := fleet.inputs()
			activeRecipe = cmp.Or(tt.recipe, assemble(&run{in: in}).recipe.of(&target{}))
			t.Cleanup(func() { activeRecipe = "other" })
			for i, f := range fleet {
				f.commit, f.releases["8080"] = tt.commits[i], fmt.Sprintf("2026112%dT000000Z-%.7s", i, tt.commits[i])
			}
			fleet[1].running["8080"] = !tt.unwell
			if !tt.unwell {
				log, summary, err := fleet.tidy(t, fleet.dial)
				if err != nil || strings.Contains(summary, "Not all hosts serve the same") != tt.differ {
					t.Errorf("the post step: %v\n%s\n%s", err, summary, log)
				}
			}
			_, log, err := fleet.deploy(t, in)
			if err != nil || strings.Contains(log, differs) != tt.differ {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}

// Where none can be tidied up the post step says that, and nothing of the site: that is as the run
// left it.
func TestThePostStepThatGetsNowhere(t *testing.T) {
	fleet := newFleet(t, 3)
	fleet[1].gone, fleet[2].gone = true, true
	log, summary, err := fleet.tidy(t, func(ctx context.Context, at remote.Host) (host.Shell, error) {
		if at.Name == "web-1" {
			return nil, &remote.AuthError{Host: at.String()}
		}
		return fleet.dial(ctx, at)
	})
	if err == nil || summary != "" || !strings.Contains(err.Error(), "\nhost: ubuntu@web-2, ubuntu@web-3") ||
		strings.Contains(err.Error(), "site: ") || strings.Contains(err.Error(), "skip-unreachable") {
		t.Errorf("%v\n%s\n%s", err, summary, log)
	}
}

// A commit that others serve, made the same way, has the id of most of them.
func TestTheIDsOfOtherHosts(t *testing.T) {
	const a, b, c = "20261122T000000Z-aaaaaaa", "20261121T000000Z-aaaaaaa", "20261120T000000Z-8888888"
	commits := map[string]string{a: strings.Repeat("a", 40), b: strings.Repeat("a", 40), c: strings.Repeat("8", 40)}
	for _, tt := range []struct {
		name   string
		active []string // of the hosts, the first of which asks; "" for none, "!" before it for another recipe
		want   []string
	}{
		{"nobody else has any", []string{a, ""}, nil},
		{"one has it", []string{"", a}, []string{a}},
		{"most of them", []string{c, b, a, b}, []string{b}},
		{"as many: that of the first", []string{"", a, b}, []string{a}},
		{"two commits", []string{"", c, a}, []string{c, a}},
		{"made in another way", []string{"", "!" + a}, nil},
		{"the one that this host serves", []string{a, a}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := assemble(&run{in: testInputs()})
			for _, id := range tt.active {
				h := &target{}
				if release, other := strings.CutPrefix(id, "!"); id != "" {
					h.Loaded = true
					h.Active = &state.Slot{Port: 8080, Listen: state.Ours, Release: release, Commit: commits[release], Proved: true}
					if h.Active.Recipe = d.recipe.of(h); other {
						h.Active.Recipe = "other"
					}
				}
				d.hosts = append(d.hosts, h)
			}
			var want []string
			for _, id := range tt.want {
				want = append(want, commits[id]+" "+id)
			}
			if got := d.source.known(d.hosts[0]); got != strings.Join(want, "\n") {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Each of many hosts asks about all others; what it takes to answer must not grow with their square.
func TestHowHostsWereMadeIsWorkedOutOnce(t *testing.T) {
	d := assemble(&run{in: testInputs()})
	for range 100 {
		h := &target{found: found{recipeKey: aKey}}
		h.Loaded = true
		h.Active = &state.Slot{Port: 8080, Listen: state.Ours, Release: "20261122T000000Z-aaaaaaa", Proved: true}
		h.Active.Recipe = d.recipe.of(h)
		d.hosts = append(d.hosts, h)
	}
	// The first call is not counted.
	if n := testing.AllocsPerRun(1, func() { d.source.known(d.hosts[0]) }); n > 100 {
		t.Errorf("%.0f allocations to answer once more for 100 hosts", n)
	}
}

// What is started again is what serves, and nothing is chosen for it.
func TestARestartOfSeveralHostsStaysWithWhatServes(t *testing.T) {
	fleet := newFleet(t, 3)
	in := fleet.inputs()
	in.Operation, in.Batches = inputs.Restart, []inputs.Share{{Number: 1}, {Number: 100, Percent: true}}
	result, log, err := fleet.deploy(t, in)
	if err != nil || result.Outcome != outcome.Restarted || fleet.flags() != "8081 8081 8081" {
		t.Fatalf("%v, flags %s\n%s", err, fleet.flags(), log)
	}
	for _, h := range result.Hosts {
		if h.Release != oldRelease || !strings.Contains(log, "Switching on web-2, web-3") {
			t.Errorf("%s has %s\n%s", h.Host, h.Release, log)
		}
	}
}

// One host does not take the time of the others.
func TestThePostStepDoesNotWaitForOneHostAlone(t *testing.T) {
	fleet := newFleet(t, 2)
	for _, f := range fleet {
		f.flag, f.running["8081"], f.releases["8081"] = "8081", true, "20261123T000000Z-bbbbbbb"
	}
	fleet[1].faults[scripts.Drain] = fault{kind: "hang"}
	log, summary, err := fleet.tidy(t, fleet.dial)
	if err != nil || !strings.Contains(summary, "its post step has tidied up 1 of 2 hosts.") ||
		!strings.Contains(log, "title=Left to the next deployment::web-2: clear: ") || len(fleet[1].recorded) != 1 {
		t.Errorf("%v\n%s\n%s", err, summary, log)
	}
}

// A drain that outlasts the post step makes no failure of a deployment that went well.
func TestThePostStepThatIsThroughBeforeADrainIs(t *testing.T) {
	fleet := newFleet(t, 1)
	f := fleet[0] // as a run leaves it that was killed while the old version was drained
	f.flag, f.running["8081"], f.proved["8081"], f.releases["8081"] = "8081", true, true, "20261123T000000Z-bbbbbbb"
	f.faults[scripts.Drain] = fault{kind: "hang"}
	in := fleet.inputs()
	in.Operation, in.Timeout, in.DrainTimeout = inputs.Tidy, time.Second, time.Hour
	var out bytes.Buffer
	saved := map[string]string{StateRelease: "20261123T000000Z-bbbbbbb", fmt.Sprint(StatePort, 0): "8081"}
	err := New(in, report.New(&out, func(string) string { return "" }), fleet.dial, nil, time.Now()).
		Tidy(t.Context(), func(name string) string { return saved[name] })
	if err != nil || len(f.recorded) != 1 || !strings.Contains(f.recorded[0], `"outcome":"deployed"`) ||
		!strings.Contains(out.String(), "Could not clear::what serves was put right; clear is left to the next deployment") {
		t.Errorf("%v, recorded %v\n%s", err, f.recorded, out.String())
	}
}

// What the post step has put right it does not call a new version, nor itself somebody else.
func TestThePostStepThatLosesItsHostAtTheEnd(t *testing.T) {
	fleet := newFleet(t, 1)
	fleet[0].faults[scripts.Record] = fault{kind: "gone-before"}
	log, _, err := fleet.tidy(t, fleet.dial)
	const says = "Lost%3A web-1::what serves was put right; from record on, what was left to do there is left to the " +
		"next deployment"
	if err != nil || !strings.Contains(log, says) {
		t.Errorf("%v, want %q in\n%s", err, says, log)
	}
}

// What the post step has put right it does not call a new version.
func TestThePostStepThatCanWriteNothingDown(t *testing.T) {
	fleet := newFleet(t, 1)
	fleet[0].faults[scripts.Record] = fault{kind: "error", code: scripts.ExitDisk, words: "the disk is full"}
	log, summary, err := fleet.tidy(t, fleet.dial)
	const says = "Could not record::what serves was put right; record is left to the next deployment: record: " +
		"the disk is full"
	if err != nil || !strings.Contains(log, says) || !strings.Contains(summary, "its post step has tidied up.") {
		t.Errorf("%v\n%s\n%s", err, summary, log)
	}
}
