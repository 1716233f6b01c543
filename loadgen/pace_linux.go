package loadgen

import (
	"time"

	"golang.org/x/sys/unix"
)

// slice is how long the pacer's thread runs at a time where others wait; the kernel takes no less. A thread that asks for little
// is let in soon after it is due (EEVDF, from Linux 6.12), though processes that start have the processors: by default it waits
// for some milliseconds of theirs.
const slice = 100 * time.Microsecond

// onTime asks the kernel to end this thread's sleeps on time instead of up to 50 us late, which it does to save power, and to
// let the thread run when they end.
func onTime() (restore func()) {
	restore = func() {}
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) == nil {
		restore = func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) }
	}
	was, err := unix.SchedGetAttr(0, 0)
	if err != nil || was.Policy != unix.SCHED_NORMAL {
		return restore
	}
	short := *was
	short.Runtime = uint64(slice)
	if unix.SchedSetAttr(0, &short, 0) != nil {
		return restore
	}
	slackOnly := restore
	return func() {
		slackOnly()
		was.Runtime = 0 // the kernel's own choice
		_ = unix.SchedSetAttr(0, was, 0)
	}
}
