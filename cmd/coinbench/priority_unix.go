//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// lowestPriority has this process yield to all others. On Linux each thread has a priority, which those that it makes inherit, and so has
// the session that it is in, where the kernel shares the processors among sessions.
func lowestPriority() {
	const lowest = 19
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowest)
	threads, _ := filepath.Glob("/proc/self/task/*")
	for _, path := range threads {
		if thread, err := strconv.Atoi(filepath.Base(path)); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, thread, lowest)
		}
	}
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(lowest)), 0)
}
