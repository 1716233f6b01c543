package cluster

import (
	"context"
	"time"
)

// RealTime is the clock of a cluster whose replicas live in real time.
type RealTime struct{}

// Now is the time.
func (RealTime) Now() time.Time { return time.Now() }

// Sleep waits, or returns the context's cause when it ends before.
func (RealTime) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
