package loadgen

import "golang.org/x/sys/unix"

// fineTimers asks the kernel to end this thread's sleeps on time instead of up to 50 us late, which it does to save power.
func fineTimers() (restore func()) {
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) != nil {
		return func() {}
	}
	return func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0) }
}
