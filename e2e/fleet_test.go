package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// fleet is several hosts that one run deploys to.
type fleet []*world.World

func newFleet(t *testing.T, hosts int) fleet {
	t.Helper()
	fl := make(fleet, hosts)
	for i := range fl {
		fl[i] = world.New(t, lab.HostOptions{})
		fl[i].Warm()
	}
	return fl
}

// with are the inputs that name all hosts, and others.
func (fl fleet) with(more map[string]string) map[string]string {
	var hosts, keys []string
	for _, w := range fl {
		hosts, keys = append(hosts, w.Host.IP), append(keys, w.Host.KnownHosts())
	}
	all := map[string]string{"host": strings.Join(hosts, "\n"), "known-hosts": strings.Join(keys, "\n")}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// live wants all hosts to serve what a run says, and returns the release.
func (fl fleet) live(result *lab.Result, port string) string {
	t := fl[0].T
	t.Helper()
	release := result.Outputs["release"]
	var hosts []struct{ Release, Outcome string }
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &hosts); err != nil || len(hosts) != len(fl) {
		t.Fatalf("hosts %s: %v", result.Outputs["hosts"], err)
	}
	for i, w := range fl {
		slot := w.Exec("readlink /home/ubuntu/shop/slots/" + port + "; ls /var/lib/deploy-action/shop/active")
		if slot != "../releases/"+release+"\n"+port || hosts[i].Release != release {
			t.Errorf("host %d: %s, and the run says %+v; want %s on port %s", i+1, slot, hosts[i], release, port)
		}
	}
	return release
}

// marked lists the releases that have served on each host, as their marks say.
func (fl fleet) marked() string {
	var all []string
	for _, w := range fl {
		all = append(all, w.Exec("cd /home/ubuntu/shop/releases && ls -d */.deploy-action/live | cut -d/ -f1"))
	}
	return strings.Join(all, "|")
}

// ended wants a run to have succeeded.
func (fl fleet) ended(result *lab.Result, outcome string) {
	t := fl[0].T
	t.Helper()
	if result.ExitCode != 0 || result.Outputs["outcome"] != outcome {
		t.Fatalf("exit code %d, outcome %q; want %q\n%s", result.ExitCode, result.Outputs["outcome"], outcome,
			result.Log())
	}
}

// All hosts get a release, or none keeps it; nobody who uses any of them notices.
func TestSeveralHostsHaveOneDecision(t *testing.T) {
	fl := newFleet(t, 3)
	w := fl[0]
	deploy := func(files, with map[string]string) *lab.Result {
		return w.Run(w.Job(w.Commit(files), fl.with(with)))
	}
	fl.ended(deploy(nil, nil), "deployed")
	for _, w := range fl {
		w.UnderLoad()
	}
	result := deploy(nil, map[string]string{
		"before-start": "date >>../../shared/migrated",
		"after-switch": "date >>../../shared/warm",
	})
	fl.ended(result, "deployed")
	second := fl.live(result, "8081")
	for i, w := range fl {
		want := fmt.Sprintf("%d 1", 1-min(i, 1)) // the migration ran on the first one alone
		got := w.Exec("cd /home/ubuntu/shop/shared; echo $(cat migrated 2>/dev/null | wc -l) $(wc -l <warm)")
		if got != want {
			t.Errorf("host %d: hooks ran %s times, want %s", i+1, got, want)
		}
	}
	before := fl.marked()

	bad := map[string]string{"BROKEN": "bad-when=/home/ubuntu/bad"}
	fl[1].Exec("touch /home/ubuntu/bad")
	result = deploy(bad, map[string]string{"health-timeout": "30s"})
	world.Failed(t, result, "failed", "health: ", "host: ubuntu@"+fl[1].Host.IP+"\n", "site: unchanged", "next: ")
	fl[1].Exec("rm /home/ubuntu/bad; setsid bash -c 'until [ -e /var/lib/deploy-action/shop/active/8080 ]; do sleep " +
		"0.02; " +
		"done; " +
		"touch /home/ubuntu/bad' >/dev/null 2>&1 </dev/null &")
	result = deploy(bad, map[string]string{"watch-for": "1m"})
	world.Failed(t, result, "restored", "verify: ", "host: ubuntu@"+fl[1].Host.IP+"\n", "site: restored", "next: ")
	for i, w := range fl {
		if flag := w.Exec("ls /var/lib/deploy-action/shop/active"); flag != "8081" {
			t.Errorf("host %d serves from %s", i+1, flag)
		}
	}
	if after := fl.marked(); after != before {
		t.Errorf("a release that was taken back is marked as having served: %s, before %s", after, before)
	}

	fl.tidiedButTheLast(second)
	next := deploy(nil, nil)
	fl.ended(next, "deployed")
	world.Says(t, next, "heal: the flag is on port 8081")
	result = w.Run(w.Job("", fl.with(map[string]string{"operation": "rollback"})))
	fl.ended(result, "rolled-back")
	if back := fl.live(result, "8081"); back != second {
		t.Errorf("rolled back to %s, want %s", back, second)
	}
}

// tidiedButTheLast kills a runner when nothing is proved on any of three hosts that serve a release on
// port 8081. The post step goes on with those that it reaches; the other is as the run has left it.
func (fl fleet) tidiedButTheLast(serves string) {
	w, last := fl[0], fl[len(fl)-1]
	t := w.T
	t.Helper()
	job := w.Job(w.Commit(nil), fl.with(map[string]string{"watch-for": "2m", "connect-timeout": "25s"}))
	killed := killAt(w, "Verifying through nginx", job)
	last.Exec(stopSSH)
	tidied := post(w, job, killed)
	last.Exec("systemctl start ssh")
	world.Says(t, tidied, "Left to the next deployment::connect on ubuntu@"+last.Host.IP)
	for _, words := range []string{
		"its post step has tidied up 2 of 3 hosts.", fl[0].Host.IP + ": " + serves + " on port 8081 serves\n",
		fl[1].Host.IP + ": " + serves + " on port 8081 serves\n", last.Host.IP + ": it is as the run has left it",
	} {
		if !strings.Contains(tidied.Summary, words) {
			t.Errorf("the summary of the post step lacks %q:\n%s", words, tidied.Summary)
		}
	}
	if got := fl.flags(); got != "8081 8081 8080" {
		t.Errorf("after the post step there are the flags %s\n%s", got, tidied.Log())
	}
	for _, w := range fl[:2] {
		units := w.Exec("systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1")
		line := w.Exec("tail -n 1 /home/ubuntu/shop/deploys.jsonl")
		if units != "shop@8081.service" || !strings.Contains(line, `"outcome":"failed"`) ||
			!strings.Contains(line, killed.State["release"]) {
			t.Errorf("after the post step there run %s, and the history ends with\n%s", units, line)
		}
	}
}
