// Package site is a host, or several, with the example application behind nginx, and the repository
// that it is deployed from: what the demo and the pictures show.
package site

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// Site is made of a lab's parts, which go with the lab.
type Site struct {
	Hosts []*lab.Host // one, until there are More

	lab    *lab.Lab
	git    *lab.Git
	repo   *lab.Repo
	key    *lab.Key
	runner *lab.Runner
	runs   int
}

// New boots the host. The action's image is what ACTION_IMAGE names, by default that of make
// prepare.
func New(ctx context.Context, l *lab.Lab) (*Site, error) {
	s := &Site{lab: l}
	var err error
	if s.key, err = l.Key(ctx, lab.Ed25519, lab.OpenSSH, ""); err != nil {
		return nil, err
	}
	if err = s.More(ctx, 1); err != nil {
		return nil, err
	}
	if s.git, err = l.Git(ctx); err != nil {
		return nil, err
	}
	if s.repo, err = s.git.Repo(ctx, "clothesme/shop"); err != nil {
		return nil, err
	}
	image := os.Getenv("ACTION_IMAGE")
	if image == "" {
		image = lab.ActionImage
	}
	s.runner, err = l.Runner(image)
	return s, err
}

// More boots so many more hosts, side by side. They get what the first one has installed with pip.
func (s *Site) More(ctx context.Context, n int) error {
	hosts, errs := make([]*lab.Host, n), make([]error, n)
	var boots sync.WaitGroup
	for i := range n {
		boots.Go(func() {
			hosts[i], errs[i] = s.lab.Host(ctx, lab.HostOptions{Name: fmt.Sprintf("web-%d", len(s.Hosts)+1+i)})
			if errs[i] == nil && len(s.Hosts) > 0 {
				errs[i] = bringVenvs(ctx, s.Hosts[0], hosts[i])
			}
		})
	}
	boots.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.Hosts = append(s.Hosts, hosts...)
	return nil
}

// bringVenvs copies the folder of venvs to a host that has no deploy root yet.
func bringVenvs(ctx context.Context, from, to *lab.Host) error {
	const file = "/var/tmp/venvs.tar"
	archive, err := from.Exec(ctx, "tar -C /home/ubuntu/shop -c venvs")
	if err != nil {
		return err
	}
	if err := to.WriteFile(ctx, file, 0o600, "root", archive); err != nil {
		return err
	}
	_, err = to.Exec(ctx, "install -d -m 0700 -o ubuntu -g ubuntu /home/ubuntu/shop && "+
		"tar -C /home/ubuntu/shop -xpf "+file+" && rm "+file)
	return err
}

// Release is a version of the example that is to be deployed.
type Release struct {
	Version string
	Broken  string            // what the file BROKEN says, if anything, and makes it fail: see e2e/application
	With    map[string]string // inputs
}

// Deploy pushes a version and runs the action for it on all hosts, as a workflow would. The working
// directory must be above e2e.
func (s *Site) Deploy(ctx context.Context, r Release, onLine func(lab.Line)) (*lab.Result, error) {
	files := map[string]string{"VERSION": r.Version + "\n"}
	if r.Broken != "" {
		files["BROKEN"] = r.Broken
	}
	sha, err := s.repo.Commit(ctx, r.Version, os.DirFS("e2e/application"), files)
	if err != nil {
		return nil, err
	}
	s.runs++
	var hosts, known []string
	for _, h := range s.Hosts {
		hosts, known = append(hosts, h.IP), append(known, h.KnownHosts())
	}
	with := map[string]string{
		"host": strings.Join(hosts, "\n"), "key": s.key.Private, "known-hosts": strings.Join(known, "\n"),
		"watch-for": "2s", "drain-timeout": "3s",
	}
	maps.Copy(with, r.With)
	return s.runner.Run(ctx, lab.Job{
		With: with,
		GitHub: lab.GitHub{
			Repository: s.repo.Name(), SHA: sha, ServerURL: s.git.URL(), Token: s.git.Token(),
			RunID: fmt.Sprint(4240 + s.runs), RunNumber: fmt.Sprint(40 + s.runs), Actor: "ada",
		},
		OnLine: onLine,
	})
}
