package sim

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"coinbench/capacity/des"
)

// clock lets virtual time pass while every participant waits.
type clock struct {
	start time.Time
	now   atomic.Int64 // of the simulation, so that Now takes no lock: events are stamped while it is held

	mu      sync.Mutex
	sim     *des.Sim
	running int // participants that do not wait
	waiting []*waiter
	order   uint64
}

// waiter is one participant that waits.
type waiter struct {
	ctx      context.Context
	at       time.Duration
	order    uint64
	onChange bool // or when a task or a load has changed
	wake     chan struct{}
}

// wait waits until an instant, or a change. mu is held, before and after.
func (c *clock) wait(ctx context.Context, until time.Duration, onChange bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.order++
	w := &waiter{ctx: ctx, at: max(until, c.sim.Now()), order: c.order, onChange: onChange, wake: make(chan struct{})}
	c.waiting = append(c.waiting, w)
	c.running--
	c.advance()
	c.mu.Unlock()
	select {
	case <-w.wake:
	case <-ctx.Done():
	}
	c.mu.Lock()
	if i := slices.Index(c.waiting, w); i >= 0 { // it was not woken
		c.waiting = slices.Delete(c.waiting, i, i+1)
		c.running++
	}
	return context.Cause(ctx)
}

// advance wakes the next participant if none runs.
func (c *clock) advance() {
	if c.running <= 0 {
		c.drive()
	}
}

// drive lets time pass until the next waiter is due, and wakes it.
func (c *clock) drive() {
	for len(c.waiting) > 0 {
		next := c.waiting[0]
		for _, w := range c.waiting {
			if w.ctx.Err() != nil { // before any time passes
				w.at = min(w.at, c.sim.Now())
			}
			if w.at < next.at || w.at == next.at && w.order < next.order {
				next = w
			}
		}
		if next.at <= c.sim.Now() {
			c.waiting = slices.DeleteFunc(c.waiting, func(w *waiter) bool { return w == next })
			c.running++
			close(next.wake)
			return
		}
		changed := c.sim.RunUntilChange(next.at)
		c.now.Store(int64(c.sim.Now()))
		if changed {
			c.changed()
		}
	}
}

// wake ends the waits for a change.
func (c *clock) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed()
}

func (c *clock) changed() {
	for _, w := range c.waiting {
		if w.onChange {
			w.at = c.sim.Now()
		}
	}
}

// Go starts a goroutine as a participant; it begins when the others wait. The function that it returns waits for its end.
func (c *clock) Go(f func()) (wait func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order++
	begin := &waiter{ctx: context.Background(), at: c.sim.Now(), order: c.order, wake: make(chan struct{})}
	c.waiting = append(c.waiting, begin)
	ended, waiters := make(chan struct{}), 0
	over := false
	go func() {
		<-begin.wake
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			over = true
			c.running += waiters - 1
			close(ended)
			c.advance()
		}()
		f()
	}()
	return func() {
		c.mu.Lock()
		if over {
			c.mu.Unlock()
			return
		}
		waiters++
		c.running--
		c.advance()
		c.mu.Unlock()
		<-ended
	}
}

// Now is the virtual time.
func (c *clock) Now() time.Time { return c.start.Add(time.Duration(c.now.Load())) }

// Sleep waits in virtual time.
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wait(ctx, c.sim.Now()+max(d, 0), false)
}
