// Package precise sleeps to within about a tenth of a millisecond.
//
// An idle Go process waits for its timers in epoll, which counts whole milliseconds, so a time.Sleep ends up to one
// millisecond late: 1 % of the 100 ms that the app's work takes, more than the bounds that are measured here leave
// room for. Sleep therefore wakes a little early and lets the kernel's own high-resolution sleep finish the job.
//
// The last stretch is a system call that a testing/synctest bubble cannot see: code that is to run in virtual time
// is given its sleeper and gets time.Sleep there.
package precise

import "time"

// early is how long before its end a sleep turns to the kernel: more than a Go timer is ever late on an idle machine.
const early = 2 * time.Millisecond

// Sleep sleeps for a duration; zero or less returns at once.
func Sleep(d time.Duration) {
	if d > 0 {
		Until(time.Now().Add(d))
	}
}

// Until sleeps until an instant; one that has passed returns at once. The instant must have a monotonic reading, as
// those that come from time.Now have.
func Until(t time.Time) {
	if coarse := time.Until(t) - early; coarse > 0 {
		time.Sleep(coarse)
	}
	finish(t)
}
