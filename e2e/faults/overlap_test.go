package faults

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

var overlapRounds = flag.Int("rounds", 5, "how many rounds of two runs over hosts of which they have some in common")

// overlapHosts are as many hosts as the runs take theirs from.
const overlapHosts = 4

// overlapFigures are what came of runs over hosts of which they have some in common.
type overlapFigures struct {
	Rounds, Both, One int // both failed, one did
	Waited            int // rounds in which one had to
	Longest           time.Duration
	Seed              uint64
	Build             string // that was tried
}

// Two runs over hosts of which they have some in common, named in different orders and begun at the
// same moment, both go through: neither has a lock that the other one waits for while it waits for one
// of that one's.
func TestOverlappingRuns(t *testing.T) {
	o := newOverlap(t)
	figures := overlapFigures{Seed: uint64(time.Now().UnixNano()), Build: world.ActionBuild(t)}
	random := rand.New(rand.NewPCG(figures.Seed, 0)) //nolint:gosec // no secret
	start := time.Now()
	for round := range *overlapRounds {
		if *faultFor > 0 && time.Since(start) > *faultFor {
			break
		}
		first, second := draw(random), draw(random)
		for !overlap(first, second) {
			second = draw(random)
		}
		begun := time.Now()
		runs := []*overlapRun{o.start(first), o.start(second)}
		failed, waited := 0, false
		for _, r := range runs {
			if err := r.end(); err != nil {
				failed++
				t.Errorf("round %d (seed %d), hosts %v and %v: %v\n%s", round+1, figures.Seed, first, second, err, r.log)
			}
			waited = waited || strings.Contains(r.log.String(), "after waiting")
		}
		figures.add(failed, waited, time.Since(begun))
	}
	t.Logf("%+v", figures)
	if figures.Waited == 0 {
		t.Error("no run has ever waited for another one")
	}
	if *fleetReport && !t.Failed() { // a round that fails is to be mended, and not to be reported
		if err := figures.keep(); err != nil {
			t.Error(err)
		}
	}
}

func (f *overlapFigures) add(failed int, waited bool, took time.Duration) {
	f.Rounds++
	switch failed {
	case 1:
		f.One++
	case 2:
		f.Both++
	}
	if waited {
		f.Waited++
	}
	f.Longest = max(f.Longest, took)
}

// draw is two or three hosts, in any order.
func draw(random *rand.Rand) []int { return random.Perm(overlapHosts)[:2+random.IntN(2)] }

func overlap(a, b []int) bool {
	return slices.ContainsFunc(a, func(n int) bool { return slices.Contains(b, n) })
}

// overlapping are hosts that serve a release, and the action's own program, which is run outside of its
// container: that would cost a second a round.
type overlapping struct {
	t       *testing.T
	hosts   []*world.World
	program string
	runs    int
}

func newOverlap(t *testing.T) *overlapping {
	t.Helper()
	o := &overlapping{t: t, program: filepath.Join(t.TempDir(), "deploy-action")}
	for range overlapHosts {
		w := world.New(t, lab.HostOptions{})
		w.Deploy(w.Commit(nil), nil)
		o.hosts = append(o.hosts, w)
	}
	docker := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "docker", args...).Output()
		if err != nil {
			t.Fatalf("docker %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	container := docker("create", "--label", world.Shared.Lab.Label(), world.ActionImage())
	docker("cp", container+":/deploy-action", o.program)
	docker("rm", container)
	alone := o.start([]int{0, 1, 2, 3})
	if err := alone.end(); err != nil {
		t.Fatalf("one run alone: %v\n%s", err, alone.log)
	}
	return o
}

type overlapRun struct {
	cmd    *exec.Cmd
	ctx    context.Context
	cancel context.CancelFunc
	log    *strings.Builder
}

// hangs is how long no round takes in which nobody waits for ever: a run waits for a lock for a
// minute at most, and ends by itself then.
const hangs = 3 * time.Minute

// start begins a run that takes the maintenance page down, which is not up, on some hosts, in the order
// given.
func (o *overlapping) start(hosts []int) *overlapRun {
	o.t.Helper()
	o.runs++
	var names, keys []string
	for _, n := range hosts {
		names, keys = append(names, o.hosts[n].Host.IP), append(keys, o.hosts[n].Host.KnownHosts())
	}
	with := map[string]string{
		"host": strings.Join(names, "\n"), "known-hosts": strings.Join(keys, "\n"), "key": world.Shared.Key.Private,
		"app": "shop", "operation": "maintenance", "maintenance": "off", "lock-timeout": "1m",
	}
	r := &overlapRun{log: &strings.Builder{}}
	r.ctx, r.cancel = context.WithTimeoutCause(o.t.Context(), hangs, errors.New("it hangs"))
	r.cmd = exec.CommandContext(r.ctx, o.program)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.Env = []string{
		"GITHUB_REPOSITORY=" + o.hosts[0].Repo.Name(), fmt.Sprintf("GITHUB_RUN_ID=%d", 4000+o.runs),
		"GITHUB_SHA=" + strings.Repeat("1", 40),
	}
	for _, name := range slices.Sorted(maps.Keys(with)) {
		r.cmd.Env = append(r.cmd.Env, "INPUT_"+strings.ToUpper(name)+"="+with[name])
	}
	if err := r.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	return r
}

func (r *overlapRun) end() error {
	defer r.cancel()
	err := r.cmd.Wait()
	if r.ctx.Err() != nil {
		err = context.Cause(r.ctx)
	}
	return err
}

const overlapFile = "overlapping-runs.json"

// keep keeps the figures, and writes the report that they are a part of.
func (f *overlapFigures) keep() error {
	var rows fleetRows
	if err := kept(fleetFile, &rows); err != nil {
		return err
	}
	text, err := os.ReadFile(fleetReportFile)
	if err != nil {
		return err
	}
	return keep(overlapFile, f, fleetReportFile, rows.report(f, written(text)))
}

// report is the part of the report, once there is anything to say.
func (f *overlapFigures) report() string {
	if f.Rounds == 0 {
		return ""
	}
	return fmt.Sprintf(`
## Runs that want the same hosts

A round is two runs of the action's own program, started at the same moment, `+
		`with the operation maintenance and nothing to change: each takes the
deploy locks of its hosts over a real sshd, finds out which slot is active, `+
		`is told that there is no maintenance page to take down, and gives the
locks back. Each has two or three of %d hosts, at random and in any order, and at least one of the other's. `+
		`A run waits for a lock for a minute.

| rounds | one waited for the other | both failed | one failed | the longest | build |
|--:|--:|--:|--:|--:|---|
| %d | %d | %d | %d | %s | %s |
`, overlapHosts, f.Rounds, f.Waited, f.Both, f.One, f.Longest.Round(100*time.Millisecond), cmp.Or(f.Build, "unknown"))
}

// overlap is that part of a table that is there already.
func (w written) overlap() string {
	const heading = "\n## Runs that want the same hosts\n"
	_, text, found := strings.Cut(string(w), heading)
	if !found {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return heading + text
}
