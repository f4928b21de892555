package slots

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func newSlots(t *testing.T, n int) *Slots {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func another(t *testing.T, s *Slots) *Slot {
	t.Helper()
	slot, err := s.Another()
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// soon is a context that ends before a test is worth waiting for.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*slotPoll)
	t.Cleanup(cancel)
	return ctx
}

func TestThereAreAsManySlotsAsSaid(t *testing.T) {
	s := newSlots(t, 2)
	first, second := another(t, s), another(t, s)
	if first == nil || second == nil {
		t.Fatal("two slots, and one of them is not to be had")
	}
	if another(t, s) != nil {
		t.Error("there is a third")
	}
	if _, err := s.One(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a third: %v", err)
	}
	time.AfterFunc(slotPoll, first.Release)
	if slot, err := s.One(t.Context()); err != nil || slot == nil {
		t.Errorf("waiting for the first: %v", err)
	}
}

// Who wants the machine gets it although others come, and nobody gets a slot meanwhile, not even a
// process that uses more of them.
func TestWhoWantsAllGetsThem(t *testing.T) {
	s := newSlots(t, 2)
	more := &Slots{dir: s.dir, n: 3}
	held := []*Slot{another(t, more), another(t, more), another(t, more)}
	got := make(chan *Slot)
	go func() {
		slot, err := s.All(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- slot
	}()
	for waits := false; !waits; { // until it keeps others out
		turnstile, err := s.lock("alone", syscall.LOCK_SH)
		if err != nil {
			t.Fatal(err)
		}
		if waits = turnstile == nil; !waits {
			_ = turnstile.Close()
		}
	}
	for i, slot := range held {
		select {
		case <-got:
			t.Fatalf("all are given, and %d are held", len(held)-i)
		case <-time.After(2 * slotPoll):
		}
		slot.Release()
		if another(t, more) != nil {
			t.Fatal("a slot is given to somebody who came after who wants all")
		}
	}
	whole := <-got
	if _, err := s.All(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("all of them twice: %v", err)
	}
	if whole.Release(); another(t, s) == nil {
		t.Error("all are back, and none can be had")
	}
}

func TestASlotDiesWithItsHolder(t *testing.T) {
	if os.Getenv("HOLD_A_SLOT") != "" {
		s, err := New(1)
		if err != nil {
			t.Fatal(err)
		}
		if slot, err := s.Another(); slot == nil || err != nil {
			t.Fatal(slot, err)
		}
		_, _ = os.Stdout.WriteString("held\n")
		select {}
	}
	s := newSlots(t, 1)
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestASlotDiesWithItsHolder$")
	holder.Env = append(os.Environ(), "HOLD_A_SLOT=1")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, len("held\n"))); err != nil {
		t.Fatal(err)
	}
	if another(t, s) != nil {
		t.Fatal("the slot of a process that lives is free")
	}
	_ = holder.Process.Kill()
	_ = holder.Wait()
	if another(t, s) == nil {
		t.Error("the slot of a dead process is not free")
	}
}

func TestThisMachineBearsAHost(t *testing.T) {
	if n := AtOnce(); n < 1 || n > 1000 {
		t.Errorf("%d hosts", n)
	}
}
