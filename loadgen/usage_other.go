//go:build !unix

package loadgen

import "time"

// resources are what this process has used since it began; unknown on this system.
type resources struct {
	cpu time.Duration
}

func usage() resources { return resources{} }
