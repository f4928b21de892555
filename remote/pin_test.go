package remote_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

// What is looked for is what nothing is pinned for, and it pins as known-hosts does.
func TestHostKeysAreLookedForWhereNothingIsPinned(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	_, key, _ := strings.Cut(s.KnownHosts(), " ")
	right := "i-1 " + key
	wrong := line("i-1", sshtest.Signer(t, "ed25519").PublicKey())
	for name, tt := range map[string]struct {
		known, found string
		err          error
		asked        bool
		want         string
	}{
		"found":                 {"", right, nil, true, ""},
		"pinned":                {right, wrong, nil, false, ""},
		"another is pinned":     {line("i-2", sshtest.Signer(t, "ed25519").PublicKey()), right, nil, true, ""},
		"another key is found":  {"", wrong, nil, true, "does not match"},
		"nothing is found":      {"", "", nil, true, "is not pinned"},
		"nobody knows":          {"", "", errors.New("the console is empty"), true, "the console is empty"},
		"another key is pinned": {wrong, right, nil, false, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configFor(t, s)
			var err error
			if cfg.HostKeys, err = remote.NewHostKeys(tt.known, nil); err != nil {
				t.Fatal(err)
			}
			asked := false
			cfg.Pin = func(context.Context, remote.Host) (string, error) { asked = true; return tt.found, tt.err }
			client, err := remote.Dial(t.Context(), remote.Host{User: "u", Name: s.Name(), Port: s.Port(), Alias: "i-1"}, cfg)
			if err == nil {
				_ = client.Close()
			}
			if asked != tt.asked || (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("asked %v, %v", asked, err)
			}
		})
	}
}
