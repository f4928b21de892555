package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/hostkeys"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
)

// Pin returns what finds the keys of hosts that known-hosts has nothing about, nil where nobody is to
// look for them.
func Pin(in *inputs.Inputs, account *cloud.Account) func(context.Context, remote.Host) (string, error) {
	if len(in.HostKeySources) == 0 {
		return nil
	}
	return pinOnce(in.HostKeySources, func(ctx context.Context, source, instance string) ([]string, error) {
		if source == inputs.Console {
			return hostkeys.Console(ctx, account, instance)
		}
		return hostkeys.Parameter(ctx, account, source)
	})
}

// pinOnce asks the sources in their order, once a run: the keys that a host is known by must not
// change when it is dialled again.
func pinOnce(
	sources []string, look func(ctx context.Context, source, instance string) ([]string, error),
) func(context.Context, remote.Host) (string, error) {
	var mu sync.Mutex
	pinned := map[string]string{}
	return func(ctx context.Context, host remote.Host) (string, error) {
		if host.Alias == "" {
			return "", nil
		}
		mu.Lock()
		lines := pinned[host.Alias]
		mu.Unlock()
		if lines != "" {
			return lines, nil
		}
		var errs []error
		for _, source := range sources {
			source = strings.ReplaceAll(source, inputs.InstanceID, host.Alias)
			keys, err := look(ctx, source, host.Alias)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, key := range keys {
				lines += host.Alias + " " + key + "\n"
			}
			if _, err := remote.NewHostKeys(lines, nil); err != nil {
				return "", fmt.Errorf("host keys of %s from %s: %w", host.Alias, source, err)
			}
			mu.Lock()
			pinned[host.Alias] = lines
			mu.Unlock()
			return lines, nil
		}
		return "", fmt.Errorf("nobody tells the host keys of %s, and known-hosts has no line about it; docs/aws.md has what "+
			"an instance can do to tell them: %w", host.Alias, errors.Join(errs...))
	}
}
