package deploy

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/connect"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
)

// Login returns what makes the key for each login to a host, nil where the input "key" is it.
func Login(in *inputs.Inputs, account *cloud.Account) func(context.Context, remote.Host) (ssh.Signer, error) {
	if in.Access != inputs.InstanceConnect {
		return nil
	}
	return freshKeys(func(ctx context.Context, instance, user, key string) error {
		return connect.Push(ctx, account, instance, user, key)
	})
}

// freshKeys makes a key for each login, which is let in for that one. It is never written down, and
// worth nothing a minute later.
func freshKeys(
	push func(ctx context.Context, instance, user, key string) error,
) func(context.Context, remote.Host) (ssh.Signer, error) {
	return func(ctx context.Context, host remote.Host) (ssh.Signer, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
		return signer, passing(push(ctx, host.Alias, host.User, key))
	}
}
