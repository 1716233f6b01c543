//go:build !linux

package loadgen

import (
	"context"
	"net"
	"net/netip"
	"time"
)

func dialDirect(context.Context, netip.AddrPort, time.Duration) (net.Conn, bool, error) {
	return nil, false, nil
}

// reset makes Close send a reset.
func reset(c net.Conn) {
	if tcp, isTCP := c.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0)
	}
}
