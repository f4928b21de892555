package faults

import (
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/s3"
	"github.com/clothesme/deploy-action/e2e/world"
)

// siege is a host that one fault after the other comes over.
type siege struct {
	*world.World
	link *lab.Link
	s3   *s3.Server
	with map[string]string // inputs of every run
}

// newSiege makes a host with both slots used once, so that every deployment to come is like the
// ones that users make.
func newSiege(t *testing.T, options lab.HostOptions, with map[string]string) *siege {
	t.Helper()
	s := newHost(t, options)
	s.with = with
	for range 2 {
		if result := s.Run(s.Job(s.Commit(nil), nil)); result.ExitCode != 0 {
			t.Fatal(result.Log())
		}
	}
	return s
}

// newHost makes one that nothing was deployed to.
func newHost(t *testing.T, options lab.HostOptions) *siege {
	t.Helper()
	s := &siege{World: world.New(t, options)}
	var err error
	if err = s.Host.MakePlaces(s.Ctx); err != nil {
		t.Fatal(err)
	}
	if s.link, err = world.Shared.Lab.Link(s.Ctx, s.Host); err != nil {
		t.Fatal(err)
	}
	if s.s3, err = s3.Start(s.Ctx, world.Shared.Lab); err != nil {
		t.Fatal(err)
	}
	if err := s.s3.Bucket(s.Ctx, bucket); err != nil {
		t.Fatal(err)
	}
	s.put("model", 64<<10)
	return s
}

// put uploads an object that is new.
func (s *siege) put(key string, size int) {
	s.T.Helper()
	data := make([]byte, size)
	_, _ = rand.Read(data)
	if err := s.s3.Put(s.Ctx, bucket, key, data, nil); err != nil {
		s.T.Fatal(err)
	}
}

const (
	bucket   = "models"
	megabyte = 1 << 20
)

// asset is the line of the input for an object that put has uploaded.
func asset(key string) string { return "s3://" + bucket + "/" + key + " -> ai_models/" + key }

// Job is World's, over the link, with an asset, a worker, and with hooks that are places.
func (s *siege) Job(sha string, with map[string]string) lab.Job {
	inputs := map[string]string{
		"host": s.link.Host, "port": s.link.Port, "known-hosts": "",
		"fingerprint":  strings.Join(slices.Sorted(maps.Values(s.Host.Fingerprints())), "\n"),
		"before-start": "bash " + lab.HoldScript + " before-start", "after-switch": "bash " + lab.HoldScript +
			" after-switch",
		"processes":     "ticker: trap 'exit 0' TERM; while :; do sleep 0.2; done",
		"drain-timeout": "2s", "assets": asset("model"), "s3-endpoint": s.s3.URL(),
	}
	maps.Copy(inputs, s.with)
	maps.Copy(inputs, with)
	if inputs["source"] == "workspace" {
		s.checkOut(sha)
	}
	job := s.World.Job(sha, inputs)
	job.Env = s.s3.Env()
	return job
}

// checkOut has the runner's workspace be a commit, as actions/checkout does. Its name is in a file, since
// commits may have the same files, which would be one release.
func (s *siege) checkOut(sha string) {
	s.T.Helper()
	entries, err := os.ReadDir(s.Runner.Workspace)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.Runner.Workspace, e.Name())))
	}
	if err == nil {
		_, err = s.Repo.Git(s.Ctx, "", "--work-tree="+s.Runner.Workspace, "checkout", "--quiet", "--force", sha, "--", ".")
	}
	if err == nil {
		name := filepath.Join(s.Runner.Workspace, "COMMIT")
		err = os.WriteFile(name, []byte(sha), 0o644) //nolint:gosec // a checkout's mode
	}
	if err != nil {
		s.T.Fatal(err)
	}
}
