package local

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// proxy is the virtual address of a service: it passes connections on to the replica that the rotation chooses for each.
// It works on the level of TCP: bytes, half-closes and resets go through as they come, and a connection for which there is no
// replica is reset.
type proxy struct {
	rotation *rotation
	failed   func(task, why string) // told of every connection that was not brought to an end; nil: none
	ctx      context.Context        // ends when the proxy closes
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu        sync.Mutex
	listeners []clientListener
	conns     map[*net.TCPConn]struct{}
}

// clientListener is an address of the proxy. Clients that are told apart have one each.
type clientListener struct {
	listener *net.TCPListener
	client   string // who alone uses it; "": everybody else
}

func newProxy(r *rotation) *proxy {
	ctx, cancel := context.WithCancel(context.Background())
	return &proxy{rotation: r, ctx: ctx, cancel: cancel, conns: map[*net.TCPConn]struct{}{}}
}

// listen opens an address, host:port, for a client, or for everybody (""), and returns what was bound.
func (p *proxy) listen(address, client string) (string, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", err
	}
	l, err := net.ListenTCP("tcp", a)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	p.listeners = append(p.listeners, clientListener{l, client})
	p.mu.Unlock()
	p.wg.Go(func() { p.accept(l, client) })
	return l.Addr().String(), nil
}

// forget closes the address of a client. Its connections go on.
func (p *proxy) forget(client string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = slices.DeleteFunc(p.listeners, func(d clientListener) bool {
		if d.client == client {
			d.listener.Close()
		}
		return d.client == client
	})
}

func (p *proxy) accept(l *net.TCPListener, client string) {
	if client != "" {
		defer p.rotation.forget(client)
	}
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // the peer was gone already, or no file descriptor is left: the next may fare better
			select {
			case <-time.After(5 * time.Millisecond):
			case <-p.ctx.Done():
			}
			continue
		}
		b, refusing := p.rotation.choose(client) // here, so that turns are taken in the order of connections
		if b == nil {
			reset(conn)
			if refusing != "" { // that nobody was there is seen from the tasks' lives
				p.tell(refusing, "refused")
			}
			continue
		}
		p.wg.Go(func() { p.relay(conn, b) })
	}
}

// relay connects a client and a replica until both have said all.
func (p *proxy) relay(client *net.TCPConn, b *backend) {
	defer p.rotation.done(b)
	var d net.Dialer
	err := p.rotation.hold(p.ctx, b)
	var conn net.Conn
	if err == nil {
		conn, err = d.DialContext(p.ctx, "tcp", b.address)
	}
	p.rotation.dialed(b)
	if err != nil {
		reset(client)
		p.tell(b.task, "refused")
		return
	}
	server := conn.(*net.TCPConn)
	if !p.track(client, server) {
		reset(client)
		reset(server)
		return
	}
	defer p.untrack(client, server)
	forth := make(chan struct{})
	go func() {
		defer close(forth)
		pass(server, client)
	}()
	n, broken := pass(client, server)
	select {
	case <-forth: // the client had said all, as it does when it has its answer or has given up
	default:
		if n == 0 && !broken {
			p.tell(b.task, "closed")
		}
	}
	if broken {
		p.tell(b.task, "reset")
	}
	<-forth
	client.Close()
	server.Close()
}

// pass copies until the source has ended, and says so to the destination. An abrupt end of either is one of both; broken says
// whether it was the source's.
func pass(to, from *net.TCPConn) (n int64, broken bool) {
	n, err := io.Copy(to, from) // of two TCP connections, by splice on Linux
	broken = errors.Is(err, syscall.ECONNRESET)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		reset(to)
		reset(from)
	}
	return n, broken
}

// tell passes a failure on, unless it is the proxy's own end.
func (p *proxy) tell(task, why string) {
	if p.failed != nil && p.ctx.Err() == nil {
		p.failed(task, why)
	}
}

// reset ends a connection with RST instead of FIN.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

func (p *proxy) track(conns ...*net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *proxy) untrack(conns ...*net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// close refuses new connections, resets those that stand and waits until nothing of the proxy is left.
func (p *proxy) close() {
	p.cancel()
	p.mu.Lock()
	for _, d := range p.listeners {
		d.listener.Close()
	}
	for c := range p.conns {
		reset(c)
	}
	p.mu.Unlock()
	p.wg.Wait()
}
