package deploy

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

const gitBusy = "fatal: unable to access 'http://git/': The requested URL returned error: 503\ngit could not fetch"

// A git server refuses some of too many clones at once.
func TestTenHostsFetchAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := newFleet(t, 25)
		var mu sync.Mutex
		now, most, all := 0, 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			if now += n; n > 0 {
				all++
			}
			most = max(most, now)
		}
		for _, f := range fleet {
			f.does = func(verb scripts.Verb, _ scripts.Values) {
				if verb == scripts.Fetch {
					count(1)
					time.Sleep(time.Second)
					count(-1)
				}
			}
		}
		if _, log, err := fleet.deployHere(t, fleet.inputs()); err != nil || most != 10 || all != 25 {
			t.Errorf("%v; %d hosts fetched, %d at once\n%s", err, all, most, log)
		}
	})
}

// What the git server is to blame for mostly passes; the other hosts wait meanwhile, and the release
// is fetched by all or by none.
func TestAFetchIsTriedAgainWhenTheGitServerIsToBlame(t *testing.T) {
	for _, tt := range []struct {
		name  string
		down  int
		fault fault
		again int    // how often it is tried again
		next  string // what a run that fails says
	}{
		{name: "it passes", down: 3, again: 3},
		{name: "it does not pass", down: 9, again: 3, next: "its server was busy"},
		{
			name:  "there is no such branch",
			fault: fault{kind: "error", code: scripts.ExitFetch, words: "there is no such branch or tag"},
			next:  "correct the input \"ref\"",
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			fleet := newFleet(t, 3)
			fleet[1].gitDown = tt.down
			if tt.fault.kind != "" {
				fleet[1].faults[scripts.Fetch] = tt.fault
			}
			began := time.Now()
			_, log, err := fleet.deployHere(t, fleet.inputs())
			if (err == nil) != (tt.next == "") || err != nil && !strings.Contains(err.Error(), "next: ") ||
				err != nil && !strings.Contains(err.Error(), tt.next) {
				t.Errorf("%s: %v\n%s", tt.name, err, log)
			}
			if n := strings.Count(log, "web-2: trying again in "); n != tt.again {
				t.Errorf("%s: tried again %d times\n%s", tt.name, n, log)
			}
			// The pauses are 2, 6 and 18 seconds, half as long or half as long again.
			if took := time.Since(began); tt.again == 3 && (took < 13*time.Second || took > 39*time.Second) {
				t.Errorf("%s: it took %s", tt.name, took)
			}
			flags := "8081 8081 8081"
			if tt.next != "" {
				flags = "8080 8080 8080"
			}
			if fleet.flags() != flags {
				t.Errorf("%s: flags %s, want %s", tt.name, fleet.flags(), flags)
			}
		})
	}
}

// A cancelled run does not wait for the next try.
func TestACancelledRunDoesNotFetchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeHost(t)
		f.gitDown = 9
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Second/2, cancel)
		var log bytes.Buffer
		rep := report.New(&log, func(string) string { return "" })
		result, err := New(testInputs(), rep, f.dial, f.open, began).Run(ctx)
		if took := time.Since(began); err == nil || result.Outcome != outcome.Failed || took > time.Second ||
			!strings.Contains(err.Error(), "cancelled") {
			t.Errorf("%v after %s, outcome %s\n%s", err, took, result.Outcome, log.String())
		}
	})
}

// Git has one exit status for all that it fails at; whether another try may help is in its words.
func TestGitsWordsTellWhoIsToBlame(t *testing.T) {
	for words, want := range map[string]bool{
		"fatal: unable to access 'http://x/': The requested URL returned error: 503":                         true,
		"fatal: unable to access 'http://x/': The requested URL returned error: 429":                         true,
		"fatal: unable to access 'https://x/': Could not resolve host: x":                                    true,
		"fatal: unable to access 'http://x/': Failed to connect to x port 80 after 7 ms: Connection refused": true,
		"fatal: unable to access 'http://x/': Recv failure: Connection reset by peer":                        true,
		"error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502":                          true,
		"fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF":                  true,
		"batch response: Rate limit exceeded: http://x/info/lfs/objects/batch":                               true,

		"fatal: unable to access 'http://x/': The requested URL returned error: 403":       false,
		"error: RPC failed; HTTP 403 curl 22\nfatal: the remote end hung up unexpectedly":  false,
		"fatal: remote error: upload-pack: not our ref 1234":                               false,
		"remote: Repository not found.\nfatal: repository 'http://x/' not found":           false,
		"fatal: could not read Username for 'http://x': terminal prompts disabled":         false,
		"remote: Invalid username or token.\nfatal: Authentication failed for 'http://x/'": false,
		"fatal: couldn't find remote ref refs/heads/x":                                     false,
		"": false,
	} {
		err := fmt.Errorf("web-1: %w", &host.Error{Code: scripts.ExitFetch, Evidence: strings.Split(words, "\n")})
		if got := gitServerFailed(err); got != want {
			t.Errorf("%q: %v, want %v", words, got, want)
		}
	}
	if gitServerFailed(&host.Error{Code: scripts.ExitBuild, Evidence: []string{"Connection refused"}}) {
		t.Error("a build is tried again")
	}
}
