package faults

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// list is what a run of the suite is to try, and what was tried before.
type list struct {
	image string // what is tested
	build string // the commit that it was made of
	begun time.Time
	ended context.Context // by whoever wants no more trials

	mu    sync.Mutex
	left  []todo
	tried int
	rows  []row
}

type todo struct {
	fault fault
	place place
}

func newList(t *testing.T) *list {
	t.Helper()
	l := &list{image: imageID(t), build: world.ActionBuild(t), begun: time.Now(), ended: untilInterrupted(t)}
	if *faultReport {
		if err := kept(rowsFile, &l.rows); err != nil {
			t.Fatal(err)
		}
	}
	wanted := regexp.MustCompile(*faultNames)
	for i, f := range faults() {
		if !wanted.MatchString(f.name) {
			continue
		}
		for _, p := range f.chosen(i) {
			if *faultAgain || !slices.ContainsFunc(l.rows, func(r row) bool {
				return r.of(f, p) && r.Image == l.image &&
					!r.Bad
			}) {
				l.left = append(l.left, todo{f, p})
			}
		}
	}
	// What was never tried goes before what was tried with another image: a run that is cut short
	// should not try the same again. Within that by place, so that faults that wait and faults that
	// work are tried beside each other.
	slices.SortStableFunc(l.left, func(a, b todo) int {
		return cmp.Or(cmp.Compare(l.triedBefore(a), l.triedBefore(b)),
			cmp.Compare(index(a.place.step), index(b.place.step)))
	})
	t.Cleanup(func() {
		took := time.Since(l.begun)
		t.Logf("%d trials in %s; %d are left", l.tried, took.Round(time.Second), len(l.left))
		if l.tried > 0 && len(l.left) > 0 {
			t.Logf("at this pace they take %s",
				(took / time.Duration(l.tried) * time.Duration(len(l.left))).Round(time.Minute))
		}
	})
	return l
}

// untilInterrupted is over with the first signal: who begins nothing new then comes to a result.
func untilInterrupted(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	resume := lab.Spare()
	t.Cleanup(func() {
		stop()
		resume()
	})
	return ctx
}

// imageID is what is tested: the action's program. The image itself is another one for each commit, also where
// that is to the table that is written here.
func imageID(t *testing.T) string {
	t.Helper()
	text, err := world.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// triedBefore is 1 for what an earlier run tried and was content with, with whatever image, else 0.
func (l *list) triedBefore(x todo) int {
	if slices.ContainsFunc(l.rows, func(r row) bool { return r.of(x.fault, x.place) && !r.Bad }) {
		return 1
	}
	return 0
}

// next is what is to be tried next: on one of the hosts that somebody has already, if anything is left for
// such a one.
func (l *list) next(has map[string]*siege) (todo, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) == 0 || *faultFor > 0 && time.Since(l.begun) > *faultFor || l.ended.Err() != nil {
		return todo{}, false
	}
	i := max(0, slices.IndexFunc(l.left, func(x todo) bool { return x.fault.first || has[x.fault.kind()] != nil }))
	next := l.left[i]
	l.left = slices.Delete(l.left, i, i+1)
	return next, true
}

// kind is what a fault wants its host to be.
func (f fault) kind() string { return fmt.Sprint(f.host, f.inPlace, f.sent) }

// record keeps a trial, in the place of an earlier one of the same fault at the same place.
func (l *list) record(x *trial) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried++
	if !*faultReport {
		return nil
	}
	x.row.Image, x.row.Build = l.image, l.build
	l.rows = append(slices.DeleteFunc(l.rows, func(r row) bool { return r.of(x.fault, x.place) }), x.row)
	text, err := os.ReadFile(reportFile)
	if err != nil {
		return err
	}
	return keep(rowsFile, l.rows, reportFile, reportOf(l.rows, written(text)))
}
