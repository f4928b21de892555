// Package slots shares the machine out among the processes whose tests start hosts.
package slots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Slots share the machine out among all processes of its user that start hosts: who starts one
// holds a slot for as long as it is there, and who wants the machine for itself holds all of them.
// A slot is a file that is locked, so that it is free when its holder is dead.
type Slots struct {
	dir string
	n   int
}

// Slot is held until Release.
type Slot struct{ files []*os.File }

// New are n slots, in the system's folder for temporary files.
func New(n int) (*Slots, error) {
	s := &Slots{dir: filepath.Join(os.TempDir(), fmt.Sprintf("deploy-action.slots-%d", os.Getuid())), n: n}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make slots: %w", err)
	}
	return s, nil
}

// slotPoll is the pause between two looks for a free slot; who waits for one waits for minutes.
const slotPoll = 100 * time.Millisecond

// One waits for a free slot.
func (s *Slots) One(ctx context.Context) (*Slot, error) {
	for {
		slot, err := s.Another()
		if slot != nil || err != nil {
			return slot, err
		}
		if err := s.pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for a slot for a host: %w", err)
		}
	}
}

// Another is a free slot if there is one, else nil. Nobody who holds one may wait for another.
func (s *Slots) Another() (*Slot, error) {
	turnstile, err := s.lock("alone", syscall.LOCK_SH)
	if turnstile == nil || err != nil { // somebody waits for the whole machine, or has it
		return nil, err
	}
	defer func() { _ = turnstile.Close() }()
	for n := range s.n {
		file, err := s.lock(strconv.Itoa(n), syscall.LOCK_EX)
		if err != nil {
			return nil, err
		}
		if file != nil {
			return &Slot{[]*os.File{file}}, nil
		}
	}
	return nil, nil
}

// All waits until every slot is free, while nobody else gets one.
func (s *Slots) All(ctx context.Context) (*Slot, error) {
	slot := &Slot{}
	take := func(name string) error {
		for {
			file, err := s.lock(name, syscall.LOCK_EX)
			if file != nil {
				slot.files = append(slot.files, file)
			}
			if file != nil || err != nil {
				return err
			}
			if err := s.pause(ctx); err != nil {
				return fmt.Errorf("wait for the machine to be free: %w", err)
			}
		}
	}
	err := take("alone")
	for _, name := range s.names() {
		if err == nil {
			err = take(name)
		}
	}
	if err != nil {
		slot.Release()
		return nil, err
	}
	return slot, nil
}

// names are all slots that anybody has used, those of processes that use more than this one too.
func (s *Slots) names() []string {
	used, _ := os.ReadDir(s.dir)
	var names []string
	for n := range s.n {
		names = append(names, strconv.Itoa(n))
	}
	for _, file := range used {
		if name := file.Name(); name != "alone" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// lock returns nil without an error where somebody else holds the lock.
func (s *Slots) lock(name string, how int) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, &fs.PathError{Op: "lock", Path: file.Name(), Err: err}
}

func (s *Slots) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(slotPoll):
		return nil
	}
}

// Release may be called again, and of nothing.
func (s *Slot) Release() {
	if s == nil {
		return
	}
	for _, file := range s.files {
		_ = file.Close()
	}
	s.files = nil
}
