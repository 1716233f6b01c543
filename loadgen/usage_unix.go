//go:build unix

package loadgen

import (
	"fmt"
	"syscall"
	"time"
)

func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// enoughFiles says what to do when a load needs more connections than this process may open.
func enoughFiles(connections int) error {
	const others = 32 // the record, the standard streams, the poller
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || uint64(connections+others) <= uint64(l.Cur) {
		return nil
	}
	return fmt.Errorf("%d connections need %d open files and the limit is %d: raise it with ulimit -n %d, or use fewer connections",
		connections, connections+others, l.Cur, connections+others)
}
