package precise

import (
	"time"

	"golang.org/x/sys/unix"
)

// finish blocks the thread in clock_nanosleep, again when a signal ends it early.
func finish(t time.Time) {
	for {
		left := time.Until(t)
		if left <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(left))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil); err != nil && err != unix.EINTR {
			time.Sleep(left) // a kernel or sandbox without it
			return
		}
	}
}
