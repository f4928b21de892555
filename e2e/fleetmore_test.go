package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// flags are the ports that the hosts serve from.
func (fl fleet) flags() string {
	var all []string
	for _, w := range fl {
		all = append(all, strings.TrimSpace(w.Exec("ls /var/lib/deploy-action/shop/active")))
	}
	return strings.Join(all, " ")
}

// batches says in which each host was, by the output.
func batches(t *testing.T, output string) []int {
	t.Helper()
	var hosts []struct{ Batch int }
	if err := json.Unmarshal([]byte(output), &hosts); err != nil {
		t.Fatalf("hosts %s: %v", output, err)
	}
	var all []int
	for _, h := range hosts {
		all = append(all, h.Batch)
	}
	return all
}

// Whatever else can be asked for is done on all hosts, and in batches where one version runs at a
// time; nobody who uses any of them notices.
func TestEveryOperationOverSeveralHosts(t *testing.T) {
	fl := newFleet(t, 2)
	w := fl[0]
	run := func(sha string, with map[string]string) (*lab.Result, string) {
		result := w.Run(w.Job(sha, fl.with(with)))
		return result, result.Log()
	}
	users := map[string]string{ // the load, and this test on the host itself
		"maintenance-allow": strings.TrimSpace(w.Exec("ip -4 route show default | cut -d ' ' -f 3")) + ", 127.0.0.1",
	}
	first, _ := run(w.Commit(map[string]string{"public/sorry.html": sorry}), users)
	fl.ended(first, "deployed")
	for _, w := range fl {
		w.UnderPatientLoad(load.Mix{Get: 8, Post: 2, Slow: 1})
	}
	for _, tt := range []struct {
		operation, outcome string
		with               map[string]string
		says               string
	}{
		{"setup", "unchanged", nil, ""},
		{"check", "unchanged", nil, ""},
		{"status", "unchanged", nil, "@" + fl[1].Host.IP + ":\n"},
		{"logs", "unchanged", nil, ""},
		{"run", "ran", map[string]string{"command": "echo over-here"}, "over-here"},
		{"deploy", "unchanged", map[string]string{"dry-run": "true"}, "plan for ubuntu@" + fl[1].Host.IP},
		{"restart", "restarted", map[string]string{"env": "COLOUR=green and blue"}, ""},
	} {
		with := merged(map[string]string{"operation": tt.operation}, tt.with)
		result, log := run("main", with)
		fl.ended(result, tt.outcome)
		if strings.Count(log, tt.says) == 0 {
			t.Errorf("%s does not say %q:\n%s", tt.operation, tt.says, log)
		}
	}
	if got := fl.flags(); got != "8081 8081" {
		t.Errorf("after a restart: %s", got)
	}
	good := first.Outputs["release"]
	fl.beginsMaintenance(good, users)
	// One of them turns out bad in its place: it and the one before it have the old release again.
	fl[1].Exec("touch /home/ubuntu/bad")
	bad, log := run(w.Commit(map[string]string{"BROKEN": "bad-when=/home/ubuntu/bad"}), inPlace(map[string]string{
		"health-timeout": "40s",
	}))
	world.Failed(t, bad, "restored", "replace: ", "host: ubuntu@"+fl[1].Host.IP+"\n", "site: restored")
	if one := strings.Index(log, "Replacing the version on "+fl[0].Host.IP); one < 0 ||
		one > strings.Index(log, "Replacing the version on "+fl[1].Host.IP) {
		t.Errorf("not one after the other:\n%s", log)
	}
	for _, w := range fl {
		w.Serves(good)
	}
	result, _ := run(w.Commit(nil), inPlace(nil))
	fl.ended(result, "deployed")
	if got := batches(t, result.Outputs["hosts"]); len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("batches %v", got)
	}
	for _, w := range fl {
		w.Serves(result.Outputs["release"])
	}
	// A host that does not answer is left out, and gets the release by the next run.
	fl[1].Exec(stopSSH)
	sha, skip := w.Commit(nil), map[string]string{
		"skip-unreachable": "1", "connect-timeout": "25s", "drain-timeout": "15s",
	}
	result, _ = run(sha, skip)
	fl.ended(result, "deployed")
	if name := "ubuntu@" + fl[1].Host.IP; result.Outputs["skipped"] != name ||
		!strings.Contains(result.Outputs["hosts"], `"host":"`+name+`","outcome":"skipped"`) {
		t.Errorf("outputs %v", result.Outputs)
	}
	fl[0].Serves(result.Outputs["release"])
	wantMaintenance(t, maintenance(w, "off", fl.with(merged(users, skip))), "maintenance",
		"Maintenance has ended; left out: ubuntu@"+fl[1].Host.IP)
	fl.visitorsGet("200 200", "503 503")
	fl[1].Exec("systemctl start ssh")
	again, _ := run(sha, skip)
	fl.ended(again, "deployed")
	world.Says(t, again, "is live on 2 hosts, and 1 of them in maintenance")
	if again.Outputs["skipped"] != "" {
		t.Errorf("skipped %q", again.Outputs["skipped"])
	}
	var hosts []struct{ Release string }
	if err := json.Unmarshal([]byte(again.Outputs["hosts"]), &hosts); err != nil || len(hosts) != 2 {
		t.Fatalf("%s: %v", again.Outputs["hosts"], err)
	}
	if id := result.Outputs["release"]; hosts[0].Release != id || hosts[1].Release != id {
		t.Errorf("one release has the ids %v, want %s", hosts, id)
	}
	fl[1].Serves(result.Outputs["release"])
	wantMaintenance(t, maintenance(w, "off", fl.with(users)), "maintenance", "Maintenance has ended")
	fl.visitorsGet("200 200", "200 200")
}

// stopSSH has a host refuse every connection.
const stopSSH = "systemctl stop ssh.socket ssh 2>/dev/null || systemctl stop ssh"

// beginsMaintenance has the page on both of two hosts, one of which refuses it at first. It stays on
// both where a run that is to end it can't log in to one.
func (fl fleet) beginsMaintenance(serves string, users map[string]string) {
	w, last, t := fl[0], fl[1], fl[0].T
	t.Helper()
	const file = "public/sorry.html"
	fl.visitorsGet("200 200", "200 200")
	last.Exec("rm /home/ubuntu/shop/releases/" + serves + "/" + file)
	half := maintenance(w, "on", fl.with(merged(users, map[string]string{"maintenance-page": file})))
	world.Failed(t, half, "failed", "maintenance: the active release, "+serves+", has no file "+file,
		"host: ubuntu@"+last.Host.IP+"\nsite: mixed\n",
		w.Host.IP+": "+serves+" on port 8081 serves, and visitors get the maintenance page\n",
		last.Host.IP+": "+serves+" on port 8081 serves\n", `with maintenance "off" it takes the page down on all of them`)
	if !strings.Contains(half.Summary, "not all hosts serve the same") {
		t.Errorf("summary:\n%s", half.Summary)
	}
	fl.visitorsGet("503 503", "200 200")
	on := maintenance(w, "on", fl.with(users))
	wantMaintenance(t, on, "maintenance", "visitors get status 503 and that page", "Maintenance has begun")
	if strings.Count(on.Outputs["hosts"], `"maintenance":true`) != 2 {
		t.Errorf("hosts %s", on.Outputs["hosts"])
	}
	fl.visitorsGet("503 503", "503 503")
	last.Exec("mv /home/ubuntu/.ssh/authorized_keys /home/ubuntu/.ssh/away")
	world.Failed(t, maintenance(w, "off", fl.with(users)), "failed", "connect: ",
		"host: ubuntu@"+last.Host.IP+"\nsite: unchanged\n")
	last.Exec("mv /home/ubuntu/.ssh/away /home/ubuntu/.ssh/authorized_keys")
	fl.visitorsGet("503 503", "503 503")
}

// visitorsGet wants strangers to get these answers to a page and to a form, host by host.
func (fl fleet) visitorsGet(want ...string) {
	fl[0].T.Helper()
	for i, w := range fl {
		got := w.Exec(fmt.Sprintf("curl -s -m 20 -o /dev/null -w '%%{http_code} ' http://%[1]s/version; "+
			"curl -s -m 20 -o /dev/null -w '%%{http_code}' -d some=text http://%[1]s/echo", w.Host.IP))
		if got != want[i] {
			w.T.Errorf("visitors of host %d get %s, want %s", i+1, got, want[i])
		}
	}
}

// A host that joined later does not have the release that the others go back to. It fetches it, or
// none goes back.
func TestARollbackReachesAHostThatJoinedLater(t *testing.T) {
	fl := newFleet(t, 2)
	w, joined := fl[0], fl[1]
	first := w.Commit(map[string]string{"VERSION": "one"})
	alone := w.Run(w.Job(first, nil))
	fl.ended(alone, "deployed")
	fl.ended(w.Run(w.Job(w.Commit(map[string]string{"VERSION": "two"}), fl.with(nil))), "deployed")
	id := alone.Outputs["release"]
	t.Run("under load", func(t *testing.T) {
		for _, w := range fl {
			w.In(t).UnderLoad()
		}
		back := w.Run(w.Job("", fl.with(map[string]string{"operation": "rollback", "env": "COLOUR=green"})))
		fl.ended(back, "rolled-back")
		if log := back.Log(); back.Outputs["release"] != id || !strings.Contains(log, "1 of 2 hosts do not have "+id) {
			t.Errorf("rolled back to %s, want %s\n%s", back.Outputs["release"], id, log)
		}
	})
	for i, want := range []string{"none", "COLOUR=green"} { // the first has it as it was deployed
		fl[i].Serves(id)
		got := fl[i].Exec("grep -rhs COLOUR= /home/ubuntu/shop/releases/" + id + "/.deploy-action || echo none")
		if !strings.Contains(got, want) {
			t.Errorf("host %d has %q, want %q", i+1, got, want)
		}
	}
	// What the runner sent nobody can fetch. Both get the second from one packing.
	c := &checkout{w}
	c.put("health", "1")
	c.noise("big", 3<<20)
	fl.ended(w.Run(w.Job("", merged(files, nil))), "deployed")
	c.put("health", "2")
	fl.ended(w.Run(w.Job("", fl.with(files))), "deployed")
	back := w.Run(w.Job("", fl.with(merged(files, map[string]string{"operation": "rollback"}))))
	world.Failed(t, back, "failed", "agree: release ", "is not on ubuntu@"+joined.Host.IP, "can't be fetched there",
		"ubuntu@"+joined.Host.IP+" has ", "site: unchanged", "next: name a release that all have")
	for i, w := range fl {
		if got := w.Exec("curl -fsS http://127.0.0.1/health"); got != "2" {
			t.Errorf("host %d serves %q", i+1, got)
		}
	}
}
