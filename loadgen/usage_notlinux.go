//go:build !linux

package loadgen

import "time"

func starved() time.Duration { return 0 }

func ephemeralPorts() int { return 0 }
