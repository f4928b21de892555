package main

import (
	"context"
	"os"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// site is a host, and the repository whose commits are deployed to it.
type site struct {
	git    *lab.Git
	repo   *lab.Repo
	host   *lab.Host
	key    *lab.Key
	runner *lab.Runner
}

func newSite(ctx context.Context, l *lab.Lab) (*site, error) {
	s := &site{}
	var err error
	if s.key, err = l.Key(ctx, lab.Ed25519, lab.OpenSSH, ""); err != nil {
		return nil, err
	}
	if s.host, err = l.Host(ctx, lab.HostOptions{Name: "web-1"}); err != nil {
		return nil, err
	}
	if s.git, err = l.Git(ctx); err != nil {
		return nil, err
	}
	if s.repo, err = s.git.Repo(ctx, "clothesme/shop"); err != nil {
		return nil, err
	}
	s.runner, err = l.Runner(lab.ActionImage)
	return s, err
}

// deploy pushes a version of the example and runs the action for it, as a workflow would.
func (s *site) deploy(ctx context.Context, v version, onLine func(lab.Line)) (*lab.Result, error) {
	files := map[string]string{"VERSION": v.name + "\n"}
	if v.broken != "" {
		files["BROKEN"] = v.broken
	}
	sha, err := s.repo.Commit(ctx, v.name, os.DirFS("examples/fastapi"), files)
	if err != nil {
		return nil, err
	}
	return s.runner.Run(ctx, lab.Job{
		With: map[string]string{
			"host": s.host.IP, "key": s.key.Private, "known-hosts": s.host.KnownHosts(), "watch-for": "2s", "drain-timeout": "3s",
		},
		GitHub: lab.GitHub{Repository: s.repo.Name(), SHA: sha, ServerURL: s.git.URL(), Token: s.git.Token()},
		OnLine: onLine,
	})
}
