package lab

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// closeFor is how long an interrupted process goes on trying to remove what its labs have started.
const closeFor = 20 * time.Second

var (
	errInterrupted = errors.New("interrupted")
	errClosed      = errors.New("the lab is closed")
)

// interrupts is this process's way of ending on a signal.
var interrupts struct {
	mu     sync.Mutex
	labs   map[*Lab]bool // the open ones
	spared int           // how many have asked to end by themselves
	came   bool          // the signal
}

// EndOnSignal has SIGINT and SIGTERM end this process by exit, once all that its labs have started
// is removed. A test binary that dies of them leaves containers behind. To be called before the
// first lab is opened.
func EndOnSignal(exit func(code int)) {
	// Whoever reads our output, the go command or tee, may have died, of the same signal or
	// another: nobody is to die of a line that is written between the two. Not ignored, which what
	// is started from here would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for s := range signals {
			if waits() {
				fmt.Fprintf(os.Stderr, "\n%s: coming to an end; once more to end at once\n", s)
				continue
			}
			number, _ := s.(syscall.Signal)
			fmt.Fprintf(os.Stderr, "\n%s: removing what the tests have started\n", s)
			closed := make(chan error, 1)
			go func() { closed <- closeAll() }()
			select {
			case err := <-closed:
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			case <-signals:
				fmt.Fprintln(os.Stderr, "once more: something may be left; make clean removes it")
			case <-time.After(2 * closeFor):
				fmt.Fprintln(os.Stderr, "the engine does not answer: something may be left; make clean removes it")
			}
			exit(128 + int(number))
		}
	}()
}

// Spare has the first signal end nothing: who calls it ends by itself, and then calls resume.
// Nothing new is started after that.
func Spare() (resume func()) {
	add := func(n int) {
		interrupts.mu.Lock()
		defer interrupts.mu.Unlock()
		interrupts.spared += n
	}
	add(1)
	return func() { add(-1) }
}

// waits tells whether somebody is about to end by itself; only the first signal waits for that.
func waits() bool {
	interrupts.mu.Lock()
	defer interrupts.mu.Unlock()
	first := !interrupts.came
	interrupts.came = true
	return first && interrupts.spared > 0
}

// interrupted tells whether nothing is to be started any more.
func interrupted() bool {
	interrupts.mu.Lock()
	defer interrupts.mu.Unlock()
	return interrupts.came && interrupts.spared == 0
}

// register keeps l among the open labs, or takes it out.
func register(l *Lab, open bool) {
	interrupts.mu.Lock()
	defer interrupts.mu.Unlock()
	if interrupts.labs == nil {
		interrupts.labs = map[*Lab]bool{}
	}
	if delete(interrupts.labs, l); open {
		interrupts.labs[l] = true
	}
}

// closeAll closes what is open. The tests still run meanwhile, and may remove the same things: then
// it is tried again.
func closeAll() error {
	interrupts.mu.Lock()
	var labs []*Lab
	for l := range interrupts.labs {
		labs = append(labs, l)
	}
	interrupts.mu.Unlock()
	errs := make([]error, len(labs))
	var all sync.WaitGroup
	for i, l := range labs {
		all.Go(func() {
			end := time.Now().Add(closeFor)
			for errs[i] = l.Close(); errs[i] != nil && time.Now().Before(end); errs[i] = l.Close() {
				time.Sleep(pollInterval)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
