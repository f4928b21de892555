// Package lab builds what a deployment happens in, out of containers: hosts as EC2 has them, a
// runner that starts actions as GitHub's does, and a git server in the place of github.com. Who
// visits the site is load's part.
//
// It needs a container engine and the images that `make prepare` builds. Everything it starts
// carries a label with the process that owns it, so that what a killed test run left behind is
// removed by the next one.
package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// ActionImage is the action's own image, which `make prepare` builds.
const ActionImage = "deploy-action:dev"

// dirPrefix begins the name of a lab's folder for temporary files; the rest tells its owner.
const dirPrefix = "deploy-action.lab."

// Options say how to open a lab; its zero value does.
type Options struct {
	Out        io.Writer // a line for each thing built or removed; nil: none
	ActionFile string    // the action.yml that runners read; empty: the one beside this module's go.mod
}

// Lab is one network with its hosts, runners and servers.
type Lab struct {
	engine     engine
	out        io.Writer
	id         string
	owner      string
	actionFile string
	dir        string
	cgroup     string // "1" or "2"
	network    network
	hostImage  string // of a host as EC2 has it, which is also a place for tools
	images     images
	machine    machine

	mu      sync.Mutex
	keys    []*Key
	closers []func() error
	nextIP  netip.Addr
	running map[*Running]bool

	closing sync.Mutex   // one Close at a time
	starts  sync.RWMutex // held for reading while something is started
	closed  bool         // nothing is any more
}

// Open checks the engine and the images, removes what dead labs left, and makes a network.
func Open(ctx context.Context, options Options) (*Lab, error) {
	l := &Lab{
		out: options.Out, id: "lab-" + randomHex(3), owner: ownerLabel(os.Getpid()),
		actionFile: options.ActionFile,
	}
	if l.out == nil {
		l.out = io.Discard
	}
	if l.actionFile == "" {
		root, err := ModuleRoot()
		if err != nil {
			return nil, err
		}
		l.actionFile = filepath.Join(root, "action.yml")
	}
	var err error
	if l.cgroup, err = l.engine.run(ctx, "info", "--format", "{{.CgroupVersion}}"); err != nil {
		return nil, fmt.Errorf("ask the container engine (`make prepare` starts one): %w", err)
	}
	if l.hostImage, err = l.HostImage(ctx, HostOptions{}); err != nil {
		return nil, err
	}
	if err := errors.Join(l.sweep(ctx, ownerIsDead), l.sweepDirs(ctx)); err != nil {
		return nil, fmt.Errorf("remove what a dead lab left: %w", err)
	}
	l.dir = filepath.Join(os.TempDir(), dirPrefix+l.label())
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make lab folder: %w", err)
	}
	register(l, true)
	if l.network, err = l.createNetwork(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.nextIP = l.network.firstHost()
	return l, nil
}

// Close stops the servers, and removes the containers, the network and the files of this lab. It
// may be called again after an error.
func (l *Lab) Close() error {
	ctx := context.Background() // what is to be removed must go, whatever ended the test
	l.closing.Lock()
	defer l.closing.Unlock()
	l.starts.Lock()
	l.closed = true
	l.starts.Unlock()
	l.mu.Lock()
	closers, running := l.closers, slices.Collect(maps.Keys(l.running))
	l.closers = nil
	l.mu.Unlock()
	for _, r := range running { // the engine may be about to create its container
		r.killUntilDone(ctx)
		<-r.done
	}
	var errs []error
	for _, closer := range slices.Backward(closers) {
		errs = append(errs, closer())
	}
	errs = append(errs, l.sweep(ctx, func(owner string) bool { return owner == l.label() }))
	errs = append(errs, l.removeDir(ctx, l.dir))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	register(l, false)
	return nil
}

// starting is to be called before anything is started that Close has to remove, and started when
// the engine knows of it.
func (l *Lab) starting() (started func(), err error) {
	l.starts.RLock()
	switch {
	case interrupted():
		err = errInterrupted
	case l.closed:
		err = errClosed
	default:
		return l.starts.RUnlock, nil
	}
	l.starts.RUnlock()
	return nil, err
}

// Dir is the lab's folder for temporary files, which goes with it.
func (l *Lab) Dir() string { return l.dir }

// Gateway is this machine's own address on the lab's network: a server that listens on it is
// reached by every host.
func (l *Lab) Gateway() string { return l.network.gateway.String() }

// Network is the name of the lab's network.
func (l *Lab) Network() string { return l.id }

// Git starts a git server that hosts reach.
func (l *Lab) Git(ctx context.Context) (*Git, error) {
	git, err := ServeGit(ctx, net.JoinHostPort(l.Gateway(), "0"))
	if err != nil {
		return nil, err
	}
	l.AtClose(git.Close)
	return git, nil
}

// AtClose registers what Close is to undo, last one first.
func (l *Lab) AtClose(closer func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, closer)
}

// Label is what all of its containers carry, as a docker filter has it.
func (l *Lab) Label() string { return ownerKey + "=" + l.label() }

// label names the lab and the process it dies with.
func (l *Lab) label() string { return l.owner + "-" + l.id }

// sweepDirs removes the files of labs whose process is gone.
func (l *Lab) sweepDirs(ctx context.Context) error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	errs := []error{err}
	for _, dir := range dirs {
		if ownerIsDead(strings.TrimPrefix(filepath.Base(dir), dirPrefix)) {
			errs = append(errs, l.removeDir(ctx, dir))
		}
	}
	return errors.Join(errs...)
}

// removeDir removes a lab's files; those that an action wrote as root are removed by root.
func (l *Lab) removeDir(ctx context.Context, dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_, err := l.engine.run(ctx, "run", "--rm", "--volume", dir+":/lab", l.hostImage, "find", "/lab", "-mindepth", "1",
		"-delete")
	return errors.Join(err, os.RemoveAll(dir))
}

// ModuleRoot is the nearest folder, from the working directory up, that has a go.mod.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find the module: no go.mod above %q", dir)
		}
	}
}

// randomHex returns n random bytes as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return hex.EncodeToString(b)
}
