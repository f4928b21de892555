package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
)

func TestAKeyForEachLoginIsLetInOnTheInstance(t *testing.T) {
	if Login(&inputs.Inputs{Access: inputs.WithKey}, nil) != nil {
		t.Error("keys are made although there is one")
	}
	pushed := map[string]bool{}
	login := freshKeys(func(_ context.Context, instance, user, key string) error {
		if instance != "i-1" || user != "ubuntu" {
			t.Errorf("let in as %s on %s", user, instance)
		}
		pushed[key] = true
		return nil
	})
	for range 2 {
		signer, err := login(t.Context(), remote.Host{User: "ubuntu", Name: "203.0.113.7", Alias: "i-1"})
		if err != nil || !pushed[strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))] {
			t.Errorf("another key was let in, %v", err)
		}
	}
	if len(pushed) != 2 {
		t.Errorf("%d keys for 2 logins", len(pushed))
	}
	denied := errors.New("denied")
	for _, said := range []error{denied, &cloud.PassingError{Err: denied}} {
		_, err := freshKeys(func(context.Context, string, string, string) error { return said })(t.Context(), remote.Host{})
		var busy *cloud.PassingError
		var passing *remote.PassingError
		if !errors.Is(err, denied) || errors.As(err, &passing) != errors.As(said, &busy) {
			t.Errorf("%T: %#v", said, err)
		}
	}
}
