//go:build unix

package loadgen

import (
	"syscall"
	"time"
)

// resources are what this process has used since it began.
type resources struct {
	cpu time.Duration
}

func usage() resources {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return resources{}
	}
	return resources{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano())}
}
