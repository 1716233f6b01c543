//go:build !linux

package loadgen

import (
	"net"
	"time"
)

// raw is a faster way to a socket on Linux; elsewhere there is none.
type raw struct{}

func newRaw(net.Conn) *raw { return nil }

const maxWait = time.Second

func (*raw) exchange([]byte, []byte) (int, []byte, error) { panic("no raw connection") }
func (*raw) write([]byte) ([]byte, error)                 { panic("no raw connection") }
func (*raw) stale() bool                                  { return false }
