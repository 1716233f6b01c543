// Package memnet is a network in memory, for tests of services in virtual time: inside a testing/synctest bubble real
// sockets do not count as blocked, these do.
//
// It has what a queueing experiment needs of TCP: addresses that are bound and refuse, a backlog that makes further
// clients wait, a queue in order of arrival that knows its length and how long each connection waited, and
// connections that break when a listener closes. It has no delays and no losses.
package memnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"coinbench/services/serve"
)

// Network is a set of addresses. The zero value is empty and ready.
type Network struct {
	mu      sync.Mutex
	sockets map[string]*socket
}

// Bind takes an address such as rng:80; it fits serve.Process.Bind.
func (n *Network) Bind(address string) (serve.Socket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.sockets[address]; taken {
		return nil, fmt.Errorf("bind %s: %w", address, syscall.EADDRINUSE)
	}
	if n.sockets == nil {
		n.sockets = map[string]*socket{}
	}
	s := &socket{network: n, addr: addr(address)}
	n.sockets[address] = s
	return s, nil
}

// Dial connects to an address that is listened to; it fits serve.Process.Dial.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	s := n.sockets[address]
	var l *listener
	if s != nil {
		l = s.listener
	}
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr(address), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, server := net.Pipe()
	select {
	case l.queue <- &conn{Conn: server, addr: l.addr, since: time.Now()}:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr(address), Err: os.NewSyscallError("connect", syscall.ECONNRESET)}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr(address), Err: ctx.Err()}
	}
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

type socket struct {
	network  *Network
	addr     addr
	listener *listener
}

func (s *socket) Addr() net.Addr { return s.addr }

func (s *socket) Listen(backlog int) (net.Listener, error) {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.listener = &listener{socket: s, addr: s.addr, queue: make(chan *conn, backlog), closed: make(chan struct{}),
		changed: make(chan struct{})}
	return s.listener, nil
}

func (s *socket) Close() error {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	if s.listener == nil {
		s.release()
	}
	return nil
}

// release gives the address up, unless a successor has it.
func (s *socket) release() {
	if s.network.sockets[string(s.addr)] == s {
		delete(s.network.sockets, string(s.addr))
	}
}

type listener struct {
	socket *socket
	addr   addr
	queue  chan *conn
	once   sync.Once
	closed chan struct{}

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when the deadline changes
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	fail := func(err error) error { return &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: err} }
	for {
		l.mu.Lock()
		deadline, changed := l.deadline, l.changed
		l.mu.Unlock()
		var late <-chan time.Time
		if !deadline.IsZero() {
			d := time.Until(deadline)
			if d <= 0 {
				return nil, fail(os.ErrDeadlineExceeded)
			}
			late = time.After(d)
		}
		select {
		case <-l.closed:
			return nil, fail(net.ErrClosed)
		default:
		}
		select {
		case c := <-l.queue:
			return c, nil
		case <-l.closed:
			return nil, fail(net.ErrClosed)
		case <-late:
			return nil, fail(os.ErrDeadlineExceeded)
		case <-changed:
		}
	}
}

// SetDeadline bounds Accept, also one that waits.
func (l *listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		l.socket.network.mu.Lock()
		l.socket.release()
		l.socket.network.mu.Unlock()
		err = nil
		for {
			select {
			case c := <-l.queue: // the kernel resets what will not be accepted
				c.Close()
			default:
				return
			}
		}
	})
	return err
}

// QueueLength returns how many connections wait to be accepted.
func (l *listener) QueueLength() int { return len(l.queue) }

type conn struct {
	net.Conn
	addr  addr
	since time.Time
}

// QueueWait returns how long the connection has existed: asked after Accept, how long it waited.
func (c *conn) QueueWait() time.Duration { return time.Since(c.since) }

func (c *conn) LocalAddr() net.Addr  { return c.addr }
func (c *conn) RemoteAddr() net.Addr { return addr("192.0.2.1:40000") }
