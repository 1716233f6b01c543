package serve

import (
	"net"
	"time"
)

// Implemented by listeners and connections of networks other than the kernel's that know their queue.
type (
	queueMeasurer interface{ QueueLength() int }
	waitMeasurer  interface{ QueueWait() time.Duration }
)

// waiting returns how many connections wait to be accepted; false: it is not known.
func waiting(l net.Listener) (int, bool) {
	if m, ok := l.(queueMeasurer); ok {
		return m.QueueLength(), true
	}
	return queueLength(l)
}

// waited returns how long a connection that was just accepted had waited; 0 where it is not known.
func waited(c net.Conn) time.Duration {
	if m, ok := c.(waitMeasurer); ok {
		return m.QueueWait()
	}
	d, _ := queueWait(c)
	return d
}
