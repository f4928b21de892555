package remote_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
	"golang.org/x/crypto/ssh"
)

// fresh makes keys for logins to a server that takes the newest one from the n-th on.
func fresh(t *testing.T, from int) (s *sshtest.Server, cfg remote.Config, made func() int) {
	t.Helper()
	var mu sync.Mutex
	var keys []ssh.PublicKey
	s = sshtest.Start(t, sshtest.Options{Configure: func(c *ssh.ServerConfig) {
		c.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			mu.Lock()
			defer mu.Unlock()
			if len(keys) < from || !bytes.Equal(key.Marshal(), keys[len(keys)-1].Marshal()) {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	}})
	cfg = configFor(t, s)
	cfg.Signer = nil
	cfg.Login = func(_ context.Context, host remote.Host) (ssh.Signer, error) {
		if host.Name != s.Name() {
			t.Errorf("a key for %s", host)
		}
		signer := sshtest.Signer(t, "ed25519")
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, signer.PublicKey())
		return signer, nil
	}
	return s, cfg, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(keys)
	}
}

func TestAKeyIsMadeForEachLogin(t *testing.T) {
	s, cfg, made := fresh(t, 1)
	for range 2 {
		_ = dialWith(t, s, cfg).Close()
	}
	if made() != 2 {
		t.Errorf("%d keys for 2 logins", made())
	}
}

func TestAFreshKeyIsTriedTwice(t *testing.T) {
	s, cfg, made := fresh(t, 2)
	_ = dialWith(t, s, cfg).Close()
	if made() != 2 {
		t.Errorf("%d keys", made())
	}
	s, cfg, made = fresh(t, 3)
	_, err := remote.Dial(t.Context(), remote.Host{User: "admin", Name: s.Name(), Port: s.Port()}, cfg)
	var refused *remote.AuthError
	if !errors.As(err, &refused) || made() != 2 {
		t.Fatalf("%d keys, %v", made(), err)
	}
	for _, want := range []string{
		`for user "admin"`, "another user", "package ec2-instance-connect", "AuthorizedKeysCommand",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %q", err, want)
		}
	}
}

func TestAKeyThatCanNotBeMade(t *testing.T) {
	s, cfg, _ := fresh(t, 1)
	host := remote.Host{User: "ubuntu", Name: s.Name(), Port: s.Port()}
	denied := errors.New("denied by AWS")
	for _, why := range []error{denied, &remote.PassingError{Err: denied}} {
		calls := 0
		cfg.Login = func(context.Context, remote.Host) (ssh.Signer, error) {
			calls++
			return nil, why
		}
		_, err := remote.Dial(t.Context(), host, cfg)
		if err == nil || err.Error() != "log in to "+host.String()+": denied by AWS" || calls != 1 || !errors.Is(err, why) {
			t.Errorf("%d calls, %v", calls, err)
		}
		if passes(err) != passes(why) {
			t.Errorf("%v passes: %t", err, passes(err))
		}
	}
}

func passes(err error) bool {
	var passing *remote.PassingError
	return errors.As(err, &passing)
}

// Whoever waits for a key in vain is told why there was none, and not that the host is slow.
func TestAKeyThatIsNotMadeInTime(t *testing.T) {
	s, cfg, _ := fresh(t, 1)
	cfg.ConnectTimeout = 5 * time.Second
	cfg.Login = func(ctx context.Context, _ remote.Host) (ssh.Signer, error) {
		<-ctx.Done()
		return nil, errors.New("AWS was asked too often")
	}
	host := remote.Host{User: "ubuntu", Name: s.Name(), Port: s.Port()}
	_, err := remote.Dial(t.Context(), host, cfg)
	if err == nil || err.Error() != "log in to "+host.String()+": AWS was asked too often" || !passes(err) {
		t.Errorf("%v passes: %t", err, passes(err))
	}

	// Of two keys the first was refused: the host has not been asked again.
	s, cfg, made := fresh(t, 2)
	cfg.ConnectTimeout = 5 * time.Second
	first := cfg.Login
	cfg.Login = func(ctx context.Context, host remote.Host) (ssh.Signer, error) {
		if made() == 0 {
			return first(ctx, host)
		}
		<-ctx.Done()
		return nil, errors.New("AWS was asked too often")
	}
	_, err = remote.Dial(t.Context(), remote.Host{User: "ubuntu", Name: s.Name(), Port: s.Port()}, cfg)
	var refused *remote.AuthError
	if !errors.As(err, &refused) || err.Error() != refused.Error() || !passes(err) {
		t.Errorf("%v passes: %t", err, passes(err))
	}
}
