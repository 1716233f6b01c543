//go:build !linux

package loadgen

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

func dialDirect(context.Context, netip.AddrPort, time.Duration) (net.Conn, bool, error) {
	return nil, false, nil
}

// reset makes Close send a reset.
func reset(c net.Conn) {
	switch c := c.(type) {
	case *net.TCPConn:
		_ = c.SetLinger(0)
	case *tls.Conn:
		reset(c.NetConn())
	}
}
