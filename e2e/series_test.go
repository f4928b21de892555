package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// hostResult is the part of the output hosts that is measured.
type hostResult struct {
	Release  string `json:"release"`
	Reloaded bool   `json:"reloaded"`
	Live     int64  `json:"live-ms"`
	Boot     int64  `json:"boot-ms"`
	Drained  int64  `json:"drained-ms"`
}

func measured(t *testing.T, result *lab.Result) hostResult {
	t.Helper()
	var hosts []hostResult
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &hosts); err != nil || len(hosts) != 1 {
		t.Fatalf("output hosts %q: %v", result.Outputs["hosts"], err)
	}
	return hosts[0]
}

// Thirty deployments in a row under the full load. Each drain meets a WebSocket that only the drain
// time-out ends, and uploads that began before the switch and end after the old version is gone.
func TestThirtyDeploymentsInARowLoseNothing(t *testing.T) {
	const deployments = 30
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.UnderFullLoad()
	var own []time.Duration
	reloads := 0
	for range deployments {
		sha := w.Commit(nil)
		result := w.Deploy(sha, map[string]string{"drain-timeout": "2s"})
		h := measured(t, result)
		own = append(own, time.Duration(h.Live-h.Boot)*time.Millisecond)
		if h.Reloaded {
			reloads++
		}
		if h.Drained < 2000 {
			t.Errorf("%s: drained after %d ms although a WebSocket was open", h.Release, h.Drained)
		}
		// Of the uploads, which take longer than a deployment, those that end now began before the
		// switch.
		if err := w.Load.WaitAnswers(w.Ctx, load.KindUpload, 1); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(own)
	t.Logf("deployments=%d switches by reload=%d; live after, less the application's own boot: median %s, max %s",
		deployments, reloads, own[len(own)/2], own[len(own)-1])
	if reloads > 0 {
		t.Errorf("%d switches by reload, want 0 after the first", reloads)
	}
	if sockets := w.Load.Report().WebSockets; len(sockets) <= deployments/2 {
		t.Errorf("%d WebSocket sessions: not every drain met one", len(sockets))
	}
}

// An upload that begins before the switch and ends when the old version is long gone is answered by
// the new one.
func TestAnUploadThatOutlivesTheOldVersion(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	upload := beginUpload(w)
	next := w.Deploy(w.Commit(nil), nil)
	if out := w.Exec("ss -Hltn 'sport = :8080'"); out != "" {
		t.Fatalf("the old version still listens: %s", out)
	}
	upload.answeredBy(next.Outputs["release"])
}

// A GET that has no answer yet when its version is ended gets the new one's.
func TestAGetThatOutlivesTheOldVersion(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	next := w.Deploy(w.Commit(nil), map[string]string{
		"drain-timeout": "1s", "stop-timeout": "1s",
		"before-start": `setsid curl -s -m 200 -w '\n%{http_code}\n' ` +
			`'http://127.0.0.1/slow?seconds=60' >/tmp/got 2>&1 </dev/null &
timeout 20 bash -c 'until [[ $(curl -so /dev/null -w "%{http_code}" http://127.0.0.1/.deploy-action/busy/8080) == 409 ]]
do sleep 0.05; done'`,
	})
	out := w.Exec(`timeout 200 bash -c 'until tail -n 1 /tmp/got | grep -q .; do sleep 0.1; done'; cat /tmp/got`)
	if !strings.Contains(out, next.Outputs["release"]) || !strings.HasSuffix(out, "\n200") {
		t.Errorf("got %q, want an answer of %s", out, next.Outputs["release"])
	}
}

func TestImageIsSmall(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "docker", "image", "inspect", "--format", "{{.Size}}",
		world.ActionImage()).Output()
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("image: %.1f MB", float64(size)/1e6)
	if size > 16_000_000 {
		t.Errorf("the image has %d bytes, want at most 16 MB", size)
	}
}

// The hostile order of things that no lock can prevent: the flag's folder is gone, both flags are
// there, a slot's link dangles.
func TestDetectionHealsWhatHandsBroke(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	w.Deploy(w.Commit(nil), nil)
	w.UnderLoad()
	for _, tt := range []struct{ name, damage, want string }{
		{"no flag", "rm /var/lib/deploy-action/shop/active/8080", "the flag was gone"},
		{"both flags", "touch /var/lib/deploy-action/shop/active/808{0,1}", "both flags were there"},
		{"flag folder deleted", "rm -r /var/lib/deploy-action/shop/active", "the flag was gone"},
		{
			"idle slot dangles",
			"ln -sfnT ../releases/gone /home/ubuntu/shop/slots/$(ls /home/ubuntu/shop/slots | grep -v $(ls " +
				"/var/lib/deploy-action/shop/active) | head -n1)",
			"✓ detect",
		},
		{
			"half-made release and venv",
			"mkdir -p /home/ubuntu/shop/releases/20200101T000000Z-1234567.partial " +
				"/home/ubuntu/shop/venvs/0123456789abcdef; chown -R ubuntu: /home/ubuntu/shop",
			"✓ prune: ",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.In(t)
			w.Exec(tt.damage)
			// An upload that outlives the version it was meant for finds the next one by the flags,
			// unless these are damaged then.
			result := w.Deploy(w.Commit(nil), map[string]string{"drain-timeout": "12s"})
			if !strings.Contains(result.Log(), tt.want) {
				t.Errorf("the log lacks %q:\n%s", tt.want, result.Log())
			}
			w.Serves(result.Outputs["release"])
			w.OneFlag(result.Outputs["active-port"])
		})
	}
}

// Releases that never served neither push out those to go back to nor pile up.
func TestFailuresInARowPushNothingOut(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	deploy := func(health string) map[string]string {
		return w.Deploy(w.Commit(map[string]string{"health": health}),
			gitFiles(map[string]string{"keep-releases": "2"})).Outputs
	}
	first, second := deploy("1"), deploy("2")
	var last *lab.Result
	for range 3 {
		last = w.Run(w.Job(w.Commit(nil), gitFiles(map[string]string{"keep-releases": "2", "start": "exit 3"})))
		world.Failed(t, last, "failed", "site: unchanged")
	}
	want := strings.Join([]string{first["release"], second["release"], last.Outputs["release"]}, "\n")
	if out := w.Exec("ls /home/ubuntu/shop/releases"); out != want {
		t.Errorf("releases on the host:\n%s\nwant:\n%s", out, want)
	}
	back := w.Run(w.Job(w.Commit(nil), gitFiles(map[string]string{"operation": "rollback"})))
	if back.Outputs["outcome"] != "rolled-back" || back.Outputs["release"] != first["release"] {
		t.Errorf("outputs %v\n%s", back.Outputs, back.Log())
	}
}

func TestOldReleasesGoAndTheLiveOnesStay(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	var releases []string
	for range 4 {
		result := w.Deploy(w.Commit(nil), map[string]string{"keep-releases": "2", "watch-for": "0s"})
		releases = append(releases, result.Outputs["release"])
	}
	out := w.Exec("ls /home/ubuntu/shop/releases; ls /home/ubuntu/shop/venvs | wc -l; runuser -u ubuntu -- git -C " +
		"/home/ubuntu/shop/repo.git for-each-ref | wc -l")
	want := fmt.Sprintf("%s\n%s\n1\n2", releases[2], releases[3])
	if strings.TrimSpace(out) != want {
		t.Errorf("left over:\n%s\nwant:\n%s", out, want)
	}
}
