package deploy

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var schedules = flag.Int("schedules", 20_000, "how many random schedules of runs that lock hosts are tried")

// lockModel is hosts whose locks several runs want. It fails when a run waits while it holds a
// greater lock, and when two hold the same.
type lockModel struct {
	t      *testing.T
	mu     sync.Mutex
	random *rand.Rand
	holder map[int]int   // of a host: the run; 0 for nobody
	free   chan struct{} // closed when one is given back
}

func (m *lockModel) pause() {
	m.mu.Lock()
	long := time.Duration(1+m.random.IntN(5)) * time.Millisecond
	m.mu.Unlock()
	time.Sleep(long)
}

func (m *lockModel) take(run, host int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holder[host] != 0 {
		if m.holder[host] == run {
			m.t.Errorf("run %d waits for itself at host %d", run, host)
		}
		return false
	}
	m.holder[host] = run
	return true
}

func (m *lockModel) release(run, host int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holder[host] != run {
		m.t.Errorf("run %d releases host %d, which run %d has", run, host, m.holder[host])
	}
	m.holder[host] = 0
	close(m.free)
	m.free = make(chan struct{})
}

// run takes all its locks, works, and gives them back.
func (m *lockModel) run(run int, hosts []int) (waited int, err error) {
	waited, err = lockAll(hosts, locks[int]{
		try: func(some []int) (busy []int, err error) {
			for _, host := range some {
				m.pause()
				if !m.take(run, host) {
					busy = append(busy, host)
				}
			}
			return busy, nil
		},
		compare: cmp.Compare[int],
		release: func(host int) error { m.release(run, host); return nil },
		wait: func(host int) error {
			m.mu.Lock()
			for other, holder := range m.holder {
				if holder == run && other > host {
					m.t.Errorf("run %d waits for host %d and holds %d", run, host, other)
				}
			}
			m.mu.Unlock()
			limit := time.After(time.Hour)
			for {
				m.mu.Lock()
				free := m.free
				m.mu.Unlock()
				if m.take(run, host) {
					return nil
				}
				select {
				case <-free:
				case <-limit:
					return fmt.Errorf("run %d waits for host %d for ever", run, host)
				}
			}
		},
	})
	if err != nil {
		return waited, err
	}
	m.pause() // release below finds out whether it has them all
	for _, host := range hosts {
		m.release(run, host)
	}
	return waited, nil
}

// Runs over fleets that have hosts in common all come to their turn, in whatever order they name
// them.
func TestRunsWithHostsInCommonDontWaitForEachOther(t *testing.T) {
	most := 0
	for seed := range *schedules {
		synctest.Test(t, func(t *testing.T) {
			m := &lockModel{
				t: t, random: rand.New(rand.NewPCG(1, uint64(seed))), holder: map[int]int{}, free: make(chan struct{}),
			}
			done := make(chan error)
			runs := 2 + m.random.IntN(4)
			for run := 1; run <= runs; run++ {
				m.mu.Lock()
				hosts := m.random.Perm(12)[:1+m.random.IntN(10)]
				m.mu.Unlock()
				go func() {
					waited, err := m.run(run, hosts)
					m.mu.Lock()
					most = max(most, waited)
					m.mu.Unlock()
					done <- err
				}()
			}
			for range runs {
				if err := <-done; err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d schedules; a run waited %d times at most", *schedules, most)
}
