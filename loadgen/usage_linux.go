package loadgen

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// starved sums how long this process's threads have waited for a CPU (field 2 of schedstat).
func starved() (sum time.Duration) {
	files, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, f := range files {
		var ran, waited int64
		if b, err := os.ReadFile(f); err == nil {
			if n, _ := fmt.Sscan(string(b), &ran, &waited); n == 2 {
				sum += time.Duration(waited)
			}
		}
	}
	return sum
}

// ephemeralPorts is how many local ports there are for outgoing connections to one address.
func ephemeralPorts() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var lo, hi int
	if n, _ := fmt.Sscan(string(b), &lo, &hi); n != 2 {
		return 0
	}
	return hi - lo + 1
}
