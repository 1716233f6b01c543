//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// lowestPriority has this process yield to all others. On Linux each thread has a priority, which those that it makes inherit, and so has a
// session, where the kernel shares the processors among sessions: this one is changed if it is this process's own.
func lowestPriority() {
	const lowest = 19
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowest)
	for known := map[string]bool{}; ; { // a thread may have been made meanwhile by one that had not been reached
		before := len(known)
		threads, _ := filepath.Glob("/proc/self/task/*")
		for _, path := range threads {
			thread, err := strconv.Atoi(filepath.Base(path))
			if err == nil && !known[path] {
				known[path] = true
				_ = unix.Setpriority(unix.PRIO_PROCESS, thread, lowest)
			}
		}
		if len(known) == before {
			break
		}
	}
	if session, err := unix.Getsid(0); err == nil && session == os.Getpid() {
		_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(lowest)), 0)
	}
}
