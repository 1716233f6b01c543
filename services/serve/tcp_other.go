//go:build !unix

package serve

import (
	"fmt"
	"net"
)

// Bind takes a TCP address. Here it listens at once, with the backlog of the system: a service that boots is
// connected to and does not answer, where others refuse.
func Bind(address string) (Socket, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", address, err)
	}
	return &tcpSocket{l: l}, nil
}

type tcpSocket struct {
	l      net.Listener
	handed bool
}

func (s *tcpSocket) Addr() net.Addr { return s.l.Addr() }

func (s *tcpSocket) Listen(int) (net.Listener, error) {
	s.handed = true
	return s.l, nil
}

func (s *tcpSocket) Close() error {
	if s.handed {
		return nil
	}
	return s.l.Close()
}
