package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// siege is a host that one fault after the other comes over.
type siege struct {
	*world
	link *lab.Link
}

// newSiege makes a host with both slots used once, so that every deployment to come is like the ones that users make.
func newSiege(t *testing.T, options lab.HostOptions) *siege {
	t.Helper()
	s := &siege{world: newWorld(t, options)}
	if err := s.host.MakePlaces(s.ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.link, err = shared.lab.Link(s.ctx, s.host); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if result := s.run(s.job(s.commit(nil), nil)); result.ExitCode != 0 {
			t.Fatal(result.Log())
		}
	}
	return s
}

// job is world's, over the link, with hooks that are places.
func (s *siege) job(sha string, with map[string]string) lab.Job {
	inputs := map[string]string{
		"host": s.link.Host, "port": s.link.Port, "known-hosts": "", "fingerprint": strings.Join(slices.Sorted(maps.Values(s.host.Fingerprints())), "\n"),
		"before-start": "bash " + lab.HoldScript + " before-start", "after-switch": "bash " + lab.HoldScript + " after-switch",
		"drain-timeout": "2s",
	}
	maps.Copy(inputs, with)
	return s.world.job(sha, inputs)
}
