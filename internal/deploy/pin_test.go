package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

func TestHostKeysAreAskedForInTheirOrderOnceARun(t *testing.T) {
	if Pin(&inputs.Inputs{}, nil) != nil {
		t.Error("AWS is asked for host keys although nobody wants that")
	}
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshtest.Signer(t, "ed25519").PublicKey())))
	var asked []string
	answers := map[string]string{"/keys/i-2": key, "/keys/i-3": "no key"}
	pin := pinOnce([]string{inputs.Console, "/keys/{instance-id}"},
		func(_ context.Context, source, instance string) ([]string, error) {
			asked = append(asked, source+" "+instance)
			if answers[source] == "" {
				return nil, errors.New("nothing at " + source)
			}
			return []string{answers[source]}, nil
		})
	for range 2 {
		lines, err := pin(t.Context(), remote.Host{Alias: "i-2"})
		if err != nil || lines != "i-2 "+key+"\n" || strings.Join(asked, ", ") != "console i-2, /keys/i-2 i-2" {
			t.Errorf("%q, %v, asked %q", lines, err, asked)
		}
	}
	if lines, err := pin(t.Context(), remote.Host{Name: "web"}); err != nil || lines != "" {
		t.Errorf("a host that was not found: %q, %v", lines, err)
	}
	for id, want := range map[string]string{
		"i-1": "nothing at console\nnothing at /keys/i-1", "i-3": "host keys of i-3 from /keys/i-3",
	} {
		if _, err := pin(t.Context(), remote.Host{Alias: id}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
