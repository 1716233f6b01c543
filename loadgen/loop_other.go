//go:build !linux

package loadgen

// loops plays a closed workload on event loops, where there are such: false, nothing was played.
func (e *engine) loops() bool { return false }
