//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// yieldToOthers has this process give way to all others: a tenth of their weight is left, so that it has its turn where a machine is never
// idle. On Linux each thread has a priority, which those that it makes inherit, and so has a session, where the kernel shares the processors
// among sessions: this one's is changed if it is this process's own.
func yieldToOthers() {
	const niceness = 10
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	for known := map[string]bool{}; ; { // a thread may have been made meanwhile by one that had not been reached
		before := len(known)
		threads, _ := filepath.Glob("/proc/self/task/*")
		for _, path := range threads {
			thread, err := strconv.Atoi(filepath.Base(path))
			if err == nil && !known[path] {
				known[path] = true
				_ = unix.Setpriority(unix.PRIO_PROCESS, thread, niceness)
			}
		}
		if len(known) == before {
			break
		}
	}
	if session, err := unix.Getsid(0); err == nil && session == os.Getpid() {
		_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(niceness)), 0)
	}
}
