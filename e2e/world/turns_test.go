package world

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/slots"
)

// queue has turns on n slots that no other process uses.
func queue(t *testing.T, n int, longest map[string]time.Duration) *turns {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	free, err := slots.New(n)
	if err != nil {
		t.Fatal(err)
	}
	return &turns{slots: free, hosts: n, longest: longest, settle: time.Minute, active: map[string]*scenario{}}
}

func TestTheLongestComesFirstAndWhoWantsToBeAloneLast(t *testing.T) {
	q := queue(t, 1, map[string]time.Duration{
		"long": time.Minute, "longest": time.Hour,
		"measures for long": time.Minute,
	})
	var begin, done sync.WaitGroup
	release := make(chan struct{})
	var mu sync.Mutex
	var order []string
	for _, name := range []string{"measures", "short", "longest", "measures for long", "long"} {
		begin.Add(1)
		done.Go(func() {
			s, err := q.take(name, strings.HasPrefix(name, "measures"), func() { begin.Done(); <-release })
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			if q.active[name] != s || len(q.active) != 1 {
				t.Errorf("%s has its turn beside others: %d", name, len(q.active))
			}
			q.end(s)
		})
	}
	begin.Wait() // as go test keeps the parallel tests until all others are done
	close(release)
	done.Wait()
	if want := []string{"longest", "long", "short", "measures for long", "measures"}; !slices.Equal(order, want) {
		t.Errorf("turns %v, want %v", order, want)
	}
	if text := q.report(time.Minute); !strings.HasPrefix(text, "5 scenarios in 1m0s, on at most 1 hosts") ||
		strings.Count(text, "\n") != 6 {
		t.Errorf("report:\n%s", text)
	}
}

// A test that has its turn needs no second one for another host, nor for what its parts do: they
// would wait for each other for ever.
func TestAFurtherHostDoesNotWait(t *testing.T) {
	q := queue(t, 1, nil)
	s, err := q.take("Test", false, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Test", "Test/part", "Test/part/of it"} {
		further, err := q.take(name, false, func() { t.Errorf("%s is made parallel", name) })
		if further != nil || err != nil {
			t.Errorf("%s: %v, %v", name, further, err)
		}
	}
	other := make(chan *scenario)
	go func() {
		s, _ := q.take("Tests", false, func() {})
		other <- s
	}()
	select {
	case <-other:
		t.Error("another test has its turn, though the one slot is taken")
	case <-time.After(300 * time.Millisecond):
	}
	q.end(s)
	q.end(<-other)
}
