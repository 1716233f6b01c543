package main

import (
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// schedIdle is SCHED_IDLE of sched(7). Any other thread of the same session takes the processor from one at once; from one that is merely
// nice, when its slice is over.
const schedIdle = 5

// yieldToOthers has this process give way to all others. Each thread has a policy of its own, which those that it makes inherit.
func yieldToOthers() {
	for known := map[string]bool{}; ; { // a thread may have been made meanwhile by one that had not been reached
		before := len(known)
		threads, _ := filepath.Glob("/proc/self/task/*")
		for _, path := range threads {
			thread, err := strconv.Atoi(filepath.Base(path))
			if err == nil && !known[path] {
				known[path] = true
				_ = unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedIdle}, 0)
			}
		}
		if len(known) == before {
			return
		}
	}
}
