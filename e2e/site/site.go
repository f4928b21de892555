// Package site is a host with the example application behind nginx, and the repository that it is
// deployed from: what the demo and the pictures show.
package site

import (
	"context"
	"fmt"
	"os"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// Site is made of a lab's parts, which go with the lab.
type Site struct {
	Host *lab.Host

	git    *lab.Git
	repo   *lab.Repo
	key    *lab.Key
	runner *lab.Runner
	runs   int
}

// New boots the host. The action's image is what ACTION_IMAGE names, by default that of make
// prepare.
func New(ctx context.Context, l *lab.Lab) (*Site, error) {
	s := &Site{}
	var err error
	if s.key, err = l.Key(ctx, lab.Ed25519, lab.OpenSSH, ""); err != nil {
		return nil, err
	}
	if s.Host, err = l.Host(ctx, lab.HostOptions{Name: "web-1"}); err != nil {
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

// Deploy pushes a version of the example and runs the action for it, as a workflow would. What
// broken says, if anything, makes the version fail: see examples/fastapi, which the working
// directory must be above.
func (s *Site) Deploy(ctx context.Context, version, broken string, onLine func(lab.Line)) (*lab.Result, error) {
	files := map[string]string{"VERSION": version + "\n"}
	if broken != "" {
		files["BROKEN"] = broken
	}
	sha, err := s.repo.Commit(ctx, version, os.DirFS("examples/fastapi"), files)
	if err != nil {
		return nil, err
	}
	s.runs++
	return s.runner.Run(ctx, lab.Job{
		With: map[string]string{
			"host": s.Host.IP, "key": s.key.Private, "known-hosts": s.Host.KnownHosts(), "watch-for": "2s",
			"drain-timeout": "3s",
		},
		GitHub: lab.GitHub{
			Repository: s.repo.Name(), SHA: sha, ServerURL: s.git.URL(), Token: s.git.Token(),
			RunID: fmt.Sprint(4240 + s.runs), RunNumber: fmt.Sprint(40 + s.runs), Actor: "ada",
		},
		OnLine: onLine,
	})
}
