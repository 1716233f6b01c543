//go:build !linux

package serve

import (
	"net"
	"time"
)

// Only Linux tells about its accept queue: elsewhere a wait begins when a connection is accepted.

func queueLength(net.Listener) (int, bool) { return 0, false }

func queueWait(net.Conn) (time.Duration, bool) { return 0, false }
