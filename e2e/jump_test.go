package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// The host lets in nobody but who comes from the bastion, which knows another key, another user and
// another port.
func TestThroughABastion(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	bastion := world.New(t, lab.HostOptions{}).Host
	theirs, err := lab.StrangerKey(w.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := bastion.WriteFile(w.Ctx, "/home/ops/.ssh/authorized_keys", 0o600, "root",
		theirs.Public+"\n"); err != nil {
		t.Fatal(err)
	}
	const settle = "until ss -tln | grep -q :2222; do sleep 0.05; done"
	if _, err := bastion.Exec(w.Ctx, "useradd --shell /usr/sbin/nologin ops; chown -R ops /home/ops; printf 'Port "+
		"22\\nPort 2222\\n' >/etc/ssh/sshd_config.d/80-bastion.conf; systemctl restart ssh; "+settle); err != nil {
		t.Fatal(err)
	}
	w.Exec(fmt.Sprintf("echo 'AllowUsers ubuntu@%s' >/etc/ssh/sshd_config.d/80-bastion.conf; systemctl restart ssh",
		bastion.IP))
	way := map[string]string{
		"proxy-jump": "ops@" + bastion.IP +
			":2222", "proxy-jump-key": theirs.Private, "proxy-jump-fingerprint": bastion.Fingerprints()["ssh-ed25519"],
	}
	sha := w.Commit(nil)
	world.Failed(t, w.Run(w.Job(sha, map[string]string{"connect-timeout": "20s"})), "failed", "connect: ", "log in to",
		"site: unchanged")
	first := w.Deploy(sha, way)
	world.Says(t, first, "through ops@"+bastion.IP+":2222")
	w.UnderLoad()

	// Reconnecting goes the same way, whichever of the two connections was cut.
	for name, cut := range map[string]func() (string, error){
		"at the bastion": func() (string, error) { return bastion.Exec(w.Ctx, "kill -KILL $(pgrep -f '^sshd: ops')") },
		"at the host":    func() (string, error) { return w.Host.Exec(w.Ctx, cutSSH) },
	} {
		t.Run("cut "+name, func(t *testing.T) {
			w.Exec("rm -f /tmp/ran; touch /tmp/hold")
			with := map[string]string{"before-start": "echo ran >>/tmp/ran; echo holding; until [ ! -e /tmp/hold ]; " +
				"do sleep 0.1; done"}
			for key, value := range way {
				with[key] = value
			}
			running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), with))
			if err != nil {
				t.Fatal(err)
			}
			if err := running.WaitLog(w.Ctx, "│ holding"); err != nil {
				t.Fatal(err)
			}
			if _, err := cut(); err != nil {
				t.Fatal(err)
			}
			if err := running.WaitLog(w.Ctx, "connected again"); err != nil {
				t.Fatal(err)
			}
			w.Exec("rm /tmp/hold")
			result, err := running.Wait()
			if err != nil || result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
				t.Fatalf("%v: exit code %d, outputs %v\n%s", err, result.ExitCode, result.Outputs, result.Log())
			}
			w.Serves(result.Outputs["release"])
		})
	}

	// Which host is another than the pinned one is said, and nothing is sent to it.
	for _, tt := range []struct{ name, input, value, words string }{
		{
			"another bastion", "proxy-jump-fingerprint", w.Host.Fingerprints()["ssh-ed25519"],
			"hop 1 of 1 on the way to ubuntu@" + w.Host.IP + ": host key of ops@" + bastion.IP + ":2222 does not match",
		},
		{
			"another host", "known-hosts", strings.ReplaceAll(bastion.KnownHosts(), bastion.IP+" ", w.Host.IP+" "),
			"host key of ubuntu@" + w.Host.IP + " does not match",
		},
		{
			"a bastion that refuses the key", "proxy-jump-key", world.Shared.Key.Private,
			"hop 1 of 1 on the way to ubuntu@" + w.Host.IP + ": log in to ops@" + bastion.IP + ":2222: refused",
		},
	} {
		with := map[string]string{}
		for key, value := range way {
			with[key] = value
		}
		with[tt.input] = tt.value
		world.Failed(t, w.Run(w.Job(sha, with)), "failed", tt.words, "site: unchanged")
	}
	if out, err := bastion.Exec(w.Ctx, "find /home/ops -type f"); err != nil ||
		strings.TrimSpace(out) != "/home/ops/.ssh/authorized_keys" {
		t.Errorf("left on the bastion: %s, %v", out, err)
	}
}
