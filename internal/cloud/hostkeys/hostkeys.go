// Package hostkeys finds the SSH host keys of instances where AWS has them from the instances
// themselves. It knows nothing of SSH.
//
// Its errors carry their remedy in their own text.
package hostkeys

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// What cloud-init puts around the keys, once an instance, when it has made them (cc_keys_to_console.py
// and write-ssh-key-fingerprints of github.com/canonical/cloud-init).
const (
	begins = "-----BEGIN SSH HOST KEY KEYS-----"
	ends   = "-----END SSH HOST KEY KEYS-----"
)

// Console returns the keys that an instance has written to its console when it first started.
func Console(ctx context.Context, account *cloud.Account, instance string) ([]string, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	var said struct {
		Output string `xml:"output"`
	}
	err = query.New(cfg).Ask(ctx, query.EC2, "GetConsoleOutput", url.Values{"InstanceId": {instance}}, &said)
	if err != nil {
		return nil, err
	}
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(said.Output), ""))
	if err != nil {
		return nil, fmt.Errorf("the console output of %s can't be read: %w", instance, err)
	}
	if found := ofConsole(string(text)); len(found) > 0 {
		return found, nil
	}
	return nil, fmt.Errorf("the console output of %s has no host keys: they get there some minutes after the first "+
		"start, where the image has cloud-init, and are gone after another start", instance)
}

// ofConsole takes the last keys that stand there whole.
func ofConsole(text string) []string {
	var found, block []string
	within := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasSuffix(line, begins):
			within, block = true, nil
		case strings.HasSuffix(line, ends):
			if within {
				found = block
			}
			within = false
		case within && line != "":
			block = append(block, line)
		}
	}
	return found
}

// Parameter returns the keys that a parameter of the Parameter Store holds, a line each.
func Parameter(ctx context.Context, account *cloud.Account, name string) ([]string, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	var said struct{ Parameter struct{ Value string } }
	err = query.New(cfg).AskJSON(ctx, query.SystemsManager, "GetParameter",
		map[string]any{"Name": name, "WithDecryption": true}, &said)
	var no *query.Error
	switch {
	case errors.As(err, &no) && no.Code == "ParameterNotFound":
		return nil, fmt.Errorf("there is no parameter %s: the instance has not written it yet, or may not", name)
	case err != nil:
		return nil, fmt.Errorf("parameter %s: %w", name, err)
	}
	var found []string
	for line := range strings.Lines(said.Parameter.Value) {
		if line = strings.TrimSpace(line); line != "" {
			found = append(found, line)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("parameter %s is empty: it must have the host's public keys, a line each", name)
	}
	return found, nil
}
