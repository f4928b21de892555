package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/world"
)

// How long the soak is, and what comes over it.
var (
	soakDeployments = flag.Int("deployments", 12, "how many deployments in a row the soak makes, on all hosts together")
	soakShare       = flag.Float64("share", 0.1, "the share of them that is met by a fault, and followed by one "+
		"that nothing comes over")
	soakSeed   = flag.Uint64("seed", 0, "draws the faults and places; 0: from the time")
	soakReport = flag.Bool("soak-report", false, "write docs/proof/soak.md")
)

// soak is what all of its hosts share.
type soak struct {
	seed  uint64
	begun time.Time
	ended <-chan struct{} // somebody has had enough (SIGINT)
	drawn []todo          // what may come

	mu     sync.Mutex
	random *rand.Rand
	left   int
	sum    figures
}

// TestSoak deploys again and again under load, with faults now and then: no request may be lost
// that a fault did not make impossible, and nothing may grow. As many hosts are used at a time as
// the machine bears, or -parallel says. Ended with SIGINT, it reports what it has done.
func TestSoak(t *testing.T) {
	t.Parallel()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	resume := lab.Spare()
	s := &soak{seed: *soakSeed, begun: time.Now(), ended: ctx.Done(), left: *soakDeployments}
	if s.seed == 0 {
		s.seed = uint64(s.begun.UnixNano()) //nolint:gosec // any number does
	}
	t.Logf("go test -run TestSoak ./e2e/faults -deployments %d -share %g -seed %d", *soakDeployments, *soakShare,
		s.seed)
	s.random = rand.New(rand.NewPCG(s.seed, 0)) //nolint:gosec // draws faults
	for _, f := range faults() {
		if f.host.Tmpfs == nil && !f.first && !f.inPlace && !f.sent { // those hosts have no long life
			for _, p := range f.anywhere() {
				s.drawn = append(s.drawn, todo{f, p})
			}
		}
	}
	s.sum.Build = world.ActionBuild(t)
	t.Cleanup(func() {
		defer resume()
		defer stop()
		s.sum.Took, s.sum.Seed, s.sum.Failed = time.Since(s.begun), s.seed, t.Failed()
		text := s.sum.report()
		t.Log(text)
		if *soakReport {
			if err := replace(soakFile, []byte(world.Wrapped(text))); err != nil {
				t.Error(err)
			}
		}
		if len(s.sum.Hosts) == 0 && ctx.Err() == nil {
			t.Error("no host was looked at twice")
		}
	})
	hosts := min(world.HostsAtOnce(), max(1, *soakDeployments/6)) // a few on each, so that two samples can be compared
	for n := range hosts {
		t.Run(fmt.Sprintf("host %d", n+1), func(t *testing.T) {
			h := &soaked{
				siege: newSiege(t, lab.HostOptions{}, nil), soak: s,
				warm: min(max(*soakDeployments/hosts/5, 4), 20),
			}
			h.with = map[string]string{"keep-releases": "2"}
			h.live()
		})
	}
}

// draw says what comes next: nothing, or a fault; false at the end.
func (s *soak) draw() (next *todo, goesOn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ended:
		return nil, false
	default:
	}
	if s.left <= 0 {
		return nil, false
	}
	// A fault is two deployments: so many turns give the share.
	if s.left > 1 && s.random.Float64() < *soakShare/(1-*soakShare) {
		s.left -= 2
		return &s.drawn[s.random.IntN(len(s.drawn))], true
	}
	s.left--
	return nil, true
}

func (s *soak) count(add func(*figures)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.sum)
}

// soaked is one of its hosts.
type soaked struct {
	*siege
	soak  *soak
	load  *load.Load
	warm  int // deployments until the first sample
	n     int // deployments so far
	first sample
}

// live deploys until nothing is left to do.
func (h *soaked) live() {
	h.T.Cleanup(h.calm)
	h.visit(false)
	for {
		next, goesOn := h.soak.draw()
		if !goesOn {
			break
		}
		x := h.turn(next)
		if next != nil {
			h.visit(next.fault.closes)
			x.was = x.state()
			x.judge(x.faulty())
		}
		begun := time.Now()
		x.heals()
		took := time.Since(begun)
		if next != nil {
			if x.fault.down {
				x.up = time.Now()
			}
			before := h.load
			h.load = nil
			h.visit(false)
			h.end(before, x)
		}
		h.soak.count(func(f *figures) { f.turn(x, took) })
		before := h.n
		if h.n++; next != nil {
			h.n++
		}
		if before < h.warm && h.n >= h.warm {
			h.calm()
			h.first = h.sample()
			h.visit(false)
		}
	}
	h.calm()
	if h.n <= h.warm {
		return
	}
	last := h.sample()
	h.soak.count(func(f *figures) { f.Hosts = append(f.Hosts, grown{h.warm, h.n, h.first, last}) })
	for _, word := range h.first.growth(last, h.n-h.warm) {
		h.T.Error(word)
	}
}

// turn is a deployment's trial; of a plain one nothing but that it succeeds is asked.
func (h *soaked) turn(next *todo) *trial {
	x := &trial{siege: h.siege, row: row{Fault: "none", Said: "dead", Next: "failed"}}
	if next != nil {
		x.fault, x.place = next.fault, next.place
		x.row.Fault, x.row.Place, x.row.Stage = next.fault.name, next.place.String(), next.place.stage
		h.T.Logf("%s, %s", x.row.Fault, x.row.Place)
	}
	return x
}

// visit has users come before those that were there go, so that the site is never without any;
// those do not lose a request.
func (h *soaked) visit(closes bool) {
	h.T.Helper()
	before := h.load
	h.load = load.Start(context.WithoutCancel(h.Ctx), load.Options{
		URL: h.Host.URL(), Mix: load.Mix{
			Get: 5, Post: 2, Slow: 1,
			Upload: 1,
		}, SlowFor: 500 * time.Millisecond, UploadFor: uploads, Think: 200 * time.Millisecond,
		TolerateIdleClose: closes, MaxDuration: 24 * time.Hour, Timeout: 30 * time.Second,
	})
	h.Load = h.load
	if err := h.load.WaitAnswers(h.Ctx, load.KindGet, 20); err != nil {
		h.T.Fatal(err)
	}
	h.end(before, nil)
}

// calm leaves the site without users.
func (h *soaked) calm() {
	before := h.load
	h.load = nil
	h.end(before, nil)
}

func (h *soaked) end(users *load.Load, x *trial) {
	h.T.Helper()
	if users == nil {
		return
	}
	if x == nil {
		x = h.turn(nil)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.Ctx), 30*time.Second)
	defer cancel()
	x.blame(users.Stop(ctx))
	h.soak.count(func(f *figures) {
		f.Requests, f.Lost, f.Impossible = f.Requests+x.row.Requests, f.Lost+x.row.Lost, f.Impossible+x.row.Impossible
	})
}
