package control

import (
	"context"
	"sync"
	"time"
)

// Bell is the clock and the Watch of a Driver in real time.
type Bell struct {
	mu   sync.Mutex
	rung chan struct{} // closed and replaced
	err  error
}

// NewBell returns a bell.
func NewBell() *Bell { return &Bell{rung: make(chan struct{})} }

// Now is the time.
func (b *Bell) Now() time.Time { return time.Now() }

// Ring ends the waits. With an error, which says why they make no sense any more, it ends all later ones too.
func (b *Bell) Ring(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	close(b.rung)
	b.rung = make(chan struct{})
}

// Watch is a Driver's.
func (b *Bell) Watch() (wait func(ctx context.Context, until time.Time) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rung := b.rung
	return func(ctx context.Context, until time.Time) error {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-rung:
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.err
	}
}
