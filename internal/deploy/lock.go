package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// locking takes the hosts' deploy locks.
type locking struct {
	*run
	roster *roster
}

func (l *locking) take(ctx context.Context, h *target) (string, error) {
	l.goOn(h)
	line, err := l.lock(ctx, h, l.in.LockTimeout)
	if err == nil && !l.sendsNothing(h) {
		h.PrepareFiles()
	}
	return line, err
}

func (l *locking) lock(ctx context.Context, h *target, limit time.Duration) (string, error) {
	taken, err := h.TakeLock(ctx, l.in.Run.Actor+" "+l.in.Run.URL(), limit)
	h.machine = cmp.Or(taken.Machine, h.machine)
	if err == nil && taken.Open {
		l.rep.Warn("Deploy root of "+h.Address.Name, fmt.Sprintf("everybody on %s may read %s, and it stays so "+
			"since nginx's configuration names files in it: give it to nginx's group, "+
			"sudo chgrp www-data %[2]s && sudo chmod 0750 %[2]s", h.Address, l.in.Path))
	}
	if err == nil && taken.Waited >= time.Second {
		return fmt.Sprintf("held, after waiting %s", taken.Waited.Round(time.Second)), nil
	}
	return "held", err
}

// takeAll takes the locks of several hosts.
func (l *locking) takeAll(ctx context.Context) (string, error) {
	began := l.now()
	for _, h := range l.present() {
		l.goOn(h)
	}
	waited, err := lockAll(l.present(), locks[*target]{
		try: func(hosts []*target) ([]*target, error) {
			busy, err := l.tryLocks(ctx, hosts)
			return busy, cmp.Or(err, state.SameMachine(l.machines()))
		},
		compare: func(a, b *target) int { return strings.Compare(a.machine, b.machine) },
		release: func(h *target) error {
			if h.left {
				return nil
			}
			if err := h.Unlock(ctx); err != nil {
				return &outcome.StepError{Step: "lock", Host: h.Address, Err: err}
			}
			return nil
		},
		wait: func(h *target) error {
			s := l.step(max(0, l.in.LockTimeout-l.now().Sub(began)))
			_, err := l.on(ctx, h, s)
			return l.roster.unlessLeft(s, h, err)
		},
	})
	if err != nil {
		return "", err
	}
	held := l.present()
	for _, h := range held {
		if waited > 0 { // what was sent along is from before that
			h.DropAhead()
		}
		if !l.sendsNothing(h) {
			h.PrepareFiles()
		}
	}
	if waited > 0 {
		return fmt.Sprintf("held on %d hosts, after waiting %s for other runs", len(held),
			l.now().Sub(began).Round(time.Second)), nil
	}
	return fmt.Sprintf("held on %d hosts", len(held)), nil
}

// locks are those of some hosts.
type locks[H comparable] struct {
	try     func([]H) (busy []H, err error) // does not wait; those that are not busy are held then
	compare func(a, b H) int                // an order that all runs have; known once each was tried
	release func(H) error
	wait    func(H) error // until it is held, or too long
}

// lockAll takes them all, in rounds, and returns how often it had to wait. Two runs that have some
// hosts in common don't wait for each other: a run waits only for the smallest lock that it lacks,
// and holds none above that meanwhile.
func lockAll[H comparable](hosts []H, l locks[H]) (waited int, err error) {
	lacks := slices.Clone(hosts)
	for {
		if lacks, err = l.try(lacks); err != nil || len(lacks) == 0 {
			return waited, err
		}
		next := slices.MinFunc(lacks, l.compare)
		for _, h := range hosts {
			if !slices.Contains(lacks, h) && l.compare(h, next) > 0 {
				if err := l.release(h); err != nil {
					return waited, err
				}
				lacks = append(lacks, h)
			}
		}
		waited++
		if err := l.wait(next); err != nil {
			return waited, err
		}
		lacks = slices.DeleteFunc(lacks, func(h H) bool { return h == next })
		if len(lacks) == 0 {
			return waited, nil
		}
	}
}

// tryLocks tries locks without waiting; busy are the hosts where another run has it.
func (l *locking) tryLocks(ctx context.Context, hosts []*target) (busy []*target, err error) {
	var wg sync.WaitGroup
	errs := make([]error, len(hosts))
	for i, h := range hosts {
		wg.Go(func() { _, errs[i] = l.on(ctx, h, l.step(0)) })
	}
	wg.Wait()
	for i, h := range hosts {
		errs[i] = l.roster.unlessLeft(l.step(0), h, errs[i])
		if host.Refused(errs[i], scripts.ExitLockBusy) {
			busy, errs[i] = append(busy, h), nil
		}
	}
	return busy, errors.Join(errs...)
}

func (l *locking) step(limit time.Duration) step {
	return step{name: "lock", within: limit + brief, each: func(ctx context.Context, h *target) (string, error) {
		return l.lock(ctx, h, limit)
	}}
}

// machines are the hosts' machines, by their addresses.
func (l *locking) machines() [][2]string {
	var all [][2]string
	for _, h := range l.present() {
		all = append(all, [2]string{h.Address.String(), h.machine})
	}
	return all
}

func unlock(ctx context.Context, h *target) (string, error) { return "released", h.Unlock(ctx) }
