package loadgen

import (
	"context"
	"runtime"
	"time"

	"coinbench/internal/precise"
)

// coarse is how long before a due instant the pacer turns from a timer, which a stop can interrupt, to a precise sleep.
const coarse = 3 * time.Millisecond

// pacer returns how the pacer sleeps until an instant (false: the load was stopped), and what to call when it is done.
func (e *engine) pacer(ctx context.Context) (sleep func(until time.Duration) bool, release func()) {
	exact := e.player.Sleep
	release = func() {}
	if exact == nil {
		exact = precise.Until
		// The thread is woken sooner than others, so it must stay this goroutine's own.
		runtime.LockOSThread()
		restore := onTime()
		release = func() {
			restore()
			runtime.UnlockOSThread()
		}
	}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return func(until time.Duration) bool {
		if d := until - e.now(); d > coarse {
			timer.Reset(d - coarse)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return false
			}
		}
		exact(e.origin.Add(until))
		return true
	}, release
}
