package lab

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
)

// The Debian releases that there are hosts of.
const (
	Bookworm = "bookworm" // 12: nginx 1.22, OpenSSH 9.2, systemd 252, Python 3.11
	Trixie   = "trixie"   // 13: nginx 1.26, OpenSSH 10, systemd 257, Python 3.13
)

// HostImage is the name of the image that such a host starts from, and an error when it is not
// there. The name holds a hash of the recipe (e2e/host), so that checkouts with different recipes
// do not take each other's hosts.
func (l *Lab) HostImage(ctx context.Context, options HostOptions) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	args := []string{cmp.Or(options.Release, Bookworm)}
	if options.With != "" {
		args = append(args, options.With)
	}
	image, err := output(ctx, nil, filepath.Join(root, "e2e", "host", "image.sh"), args...)
	if err != nil {
		return "", fmt.Errorf("name the host's image: %w", err)
	}
	if _, err := l.engine.run(ctx, "image", "inspect", "--format", "{{.Id}}", image); err != nil {
		return "", fmt.Errorf("find image %q (`make prepare` builds it): %w", image, err)
	}
	return image, nil
}
