package lab

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"sync"
)

// The Debian releases that there are hosts of.
const (
	Bookworm = "bookworm" // 12: nginx 1.22, OpenSSH 9.2, systemd 252, Python 3.11
	Trixie   = "trixie"   // 13: nginx 1.26, OpenSSH 10, systemd 257, Python 3.13
)

// images are those that a lab has found, by release and list.
type images struct {
	sync.Mutex
	found map[[2]string]string
}

// HostImage is the name of the image that such a host starts from, and an error when it is not
// there. The name holds a hash of the recipe (e2e/host), so that checkouts with different recipes
// do not take each other's hosts.
func (l *Lab) HostImage(ctx context.Context, options HostOptions) (string, error) {
	l.images.Lock()
	defer l.images.Unlock()
	key := [2]string{options.Release, options.With}
	if image, ok := l.images.found[key]; ok {
		return image, nil
	}
	image, err := l.findImage(ctx, options)
	if err == nil {
		if l.images.found == nil {
			l.images.found = map[[2]string]string{}
		}
		l.images.found[key] = image
	}
	return image, err
}

func (l *Lab) findImage(ctx context.Context, options HostOptions) (string, error) {
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
