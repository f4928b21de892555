package faults

import (
	"cmp"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/e2e/world"
)

const soakFile = "../../docs/proof/soak.md"

// sample is what a host, and the machine that the runners are on, have in use while no user is on
// the site and nobody deploys.
type sample struct {
	world.Footprint                   // without the application's own logs, which users' requests fill:
	logs                          int // bytes
	nginxFDs, systemdFDs, sshdFDs int
	memory                        int // KB that nginx, systemd and sshd use
	// that runs have left on the runner's machine; what the runner itself keeps of a step aside
	containers, runnerFiles int
	runnerKB                int
}

func (h *soaked) sample() sample {
	h.T.Helper()
	s := sample{Footprint: h.Footprint()}
	out := h.Exec(`timeout 20 bash -c "while ss -Htn state established ` +
		`'( sport = :80 or sport = :8080 or sport = :8081 )' | grep -q .; do sleep 0.1; done"
		fds() { local pid n=0; for pid; do n=$((n + $(ls "/proc/$pid/fd" | wc -l))); done; echo "$n"; }
		nginx=$(pgrep -x nginx) sshd=$(systemctl show -p MainPID --value ssh)
		fds $nginx; fds 1; fds $sshd
		for pid in $nginx 1 $sshd; do sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$pid/status; done | ` +
		`awk '{ kb += $1 } END { print kb }'
		du -s --block-size=1 /home/ubuntu/shop/logs | cut -f1`)
	if _, err := fmt.Sscan(out, &s.nginxFDs, &s.systemdFDs, &s.sshdFDs, &s.memory, &s.logs); err != nil {
		h.T.Fatalf("%v in %q", err, out)
	}
	s.Disk -= s.logs
	s.containers = h.leftContainers()
	err := filepath.WalkDir(filepath.Dir(filepath.Dir(h.Runner.Workspace)),
		func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() == "_runner_file_commands" {
				return fs.SkipDir
			}
			if info, err := entry.Info(); err == nil && entry.Type().IsRegular() {
				s.runnerFiles, s.runnerKB = s.runnerFiles+1, s.runnerKB+int(info.Size()>>10)
			}
			return nil
		})
	if err != nil {
		h.T.Fatal(err)
	}
	return s
}

// leftContainers are those of this lab's runs that have ended and are still there half a minute
// later: docker removes them, and other hosts' runs end all the time.
func (h *soaked) leftContainers() int {
	h.T.Helper()
	list := func() []string {
		out, err := exec.CommandContext(h.Ctx, "docker", "ps", "--all", "--quiet", "--filter", "status=exited",
			"--filter", "label=a1b2c3", "--filter", "label="+world.Shared.Lab.Label()).Output()
		if err != nil {
			h.T.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	left := list()
	for end := time.Now().Add(30 * time.Second); len(left) > 0 &&
		time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		now := list()
		left = slices.DeleteFunc(left, func(id string) bool { return !slices.Contains(now, id) })
	}
	return len(left)
}

// growth names what is more than it was, and more than so many deployments write down.
func (s sample) growth(last sample, deployments int) (words []string) {
	for _, tt := range []struct {
		what      string
		from, to  int
		allowance int
	}{
		{"bytes of the host's disk", s.Disk, last.Disk, 512<<10 + 2<<10*deployments}, // the history, git's rhythm
		// a slot's is put by, one time, at the first start with more than 10 MB
		{"bytes of logs", 0, last.logs, 2 * 2 * 16 << 20},
		{"files on the host", s.Files, last.Files, 40},
		{"processes of the application's user", s.Processes, last.Processes, 0},
		{"failed units", s.Failed, last.Failed, 0},
		{"file descriptors of nginx", s.nginxFDs, last.nginxFDs, 8},
		{"file descriptors of systemd", s.systemdFDs, last.systemdFDs, 8},
		{"file descriptors of sshd", s.sshdFDs, last.sshdFDs, 2},
		{"KB of memory of nginx, systemd and sshd", s.memory, last.memory, 8 << 10},
		{"containers on the runner's machine", s.containers, last.containers, 0},
		{"files on the runner's machine", s.runnerFiles, last.runnerFiles, 0},
		{"KB on the runner's machine", s.runnerKB, last.runnerKB, 0},
	} {
		if tt.to-tt.from > tt.allowance {
			words = append(words, fmt.Sprintf("%d %s, then %d", tt.from, tt.what, tt.to))
		}
	}
	if units := s.NewUnits(last.Footprint); len(units) > 0 {
		words = append(words, "new units: "+strings.Join(units, ", "))
	}
	return words
}

// figures are the soak's result.
type figures struct {
	Seed                       uint64
	Build                      string // that was tried
	Took                       time.Duration
	Deployments                int
	Requests, Lost, Impossible int
	Plain                      []time.Duration
	Faults                     []row
	Hosts                      []grown
	Failed                     bool
}

type grown struct {
	from, to    int
	first, last sample
}

func (f *figures) turn(x *trial, took time.Duration) {
	f.Deployments++
	if x.row.Fault == "none" {
		f.Plain = append(f.Plain, took)
		return
	}
	f.Deployments++
	f.Faults = append(f.Faults, x.row)
}

// report is the result for people.
func (f *figures) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!-- Written by the soak (`+"`make soak`"+`), not by hand. -->
# Deployments in a row

%s deployments on %d hosts side by side took %s; the site of each was under load through nginx all the time. `+
		`%d of them were met by a fault,
drawn at random with its place (seed %d), and followed by one that nothing came over, which had to heal.

| | |
|---|--:|
| build | %s |
| requests | %s |
| lost | %d |
| made impossible by a fault | %s |
| deployments that nothing came over, and went live | %s |
`, world.Thousands(f.Deployments), len(f.Hosts), f.Took.Round(time.Second), len(f.Faults), f.Seed,
		cmp.Or(f.Build, "unknown"), world.Thousands(f.Requests), f.Lost,
		world.Thousands(f.Impossible), world.Thousands(f.live()))
	if len(f.Plain) > 0 {
		took := slices.Sorted(slices.Values(f.Plain))
		fmt.Fprintf(&b, "| of those, half took less than | %s |\n| and 99 of 100 less than | %s |\n",
			took[len(took)/2].Round(100*time.Millisecond), took[len(took)*99/100].Round(100*time.Millisecond))
	}
	b.WriteString("\n## What grew\n\nWith no users on the site, early and at the end.\n\n")
	b.WriteString("| host | deployments | disk (KB) | logs (KB) | files | processes | units | failed | fds: nginx | " +
		"systemd | sshd | memory (KB) | runner: containers | files | KB " +
		"|\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for n, h := range f.Hosts {
		for i, s := range []sample{h.first, h.last} {
			fmt.Fprintf(&b, "| %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", n+1,
				[]int{h.from, h.to}[i], s.Disk>>10, s.logs>>10, s.Files, s.Processes, len(s.Units), s.Failed,
				s.nginxFDs, s.systemdFDs, s.sshdFDs, s.memory, s.containers, s.runnerFiles, s.runnerKB)
		}
	}
	b.WriteString("\nUnits are those that did not come with the system, both slots of a pair counted as one. " +
		"Memory is what nginx, systemd and sshd have of their own. The logs are the application's: its " +
		"users' requests fill them, and a start puts one by that is over\n10 MB. Of the rest of the disk, the " +
		"history takes a few hundred bytes a deployment.\n")
	b.WriteString("\n## What came over them\n\n| fault | place | the run | impossible | the next " +
		"|\n|---|---|---|--:|---|\n")
	for _, r := range f.Faults {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Fault, r.Place, r.Said, world.Thousands(r.Impossible), r.Next)
	}
	if f.Failed {
		b.WriteString("\n**Not all was as it must be**; the test's log says what.\n")
	}
	return b.String()
}

// live are the deployments that had to succeed, and did.
func (f *figures) live() int {
	n := len(f.Plain)
	for _, r := range f.Faults {
		if r.Next == "deployed" {
			n++
		}
	}
	return n
}
