package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// address is where connections of some targets go.
type address struct {
	hostPort string
	pinned   string         // what hostPort was resolved to at the start, with Reuse.PinDNS
	direct   netip.AddrPort // the address, if it is known without a lookup
	tls      *tls.Config    // nil: in the clear
}

func (e *engine) resolvePinned(ctx context.Context) error {
	if !e.w.Reuse.PinDNS {
		return nil
	}
	for i := range e.addrs {
		host, port, err := net.SplitHostPort(e.addrs[i].hostPort)
		if err != nil {
			return err
		}
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		ips, err := e.player.resolver().LookupHost(ctx, host)
		if err != nil {
			return fmt.Errorf("pin the name %s: %w", host, err)
		}
		e.addrs[i].pinned = net.JoinHostPort(ips[0], port)
		e.addrs[i].direct, _ = netip.ParseAddrPort(e.addrs[i].pinned)
	}
	return nil
}

// pinned is what an address was resolved to at the start, or the address itself.
func (e *engine) pinned(hostPort string) string {
	for i := range e.addrs {
		if a := &e.addrs[i]; a.pinned != "" && a.hostPort == hostPort {
			return a.pinned
		}
	}
	return hostPort
}

// dial opens a connection to the place in engine.addrs, with TLS where it is wanted.
func (e *engine) dial(ctx context.Context, addr int) (net.Conn, classID, error) {
	a := &e.addrs[addr]
	conn, err := e.connect(ctx, a)
	if err == nil && a.tls != nil {
		conn, err = e.secured(ctx, conn, a.tls)
	}
	if err != nil {
		return nil, classifyDial(err), err
	}
	return conn, ok, nil
}

func (e *engine) connect(ctx context.Context, a *address) (net.Conn, error) {
	if a.direct.IsValid() && e.player.Dial == nil {
		if err := e.player.Guard.address(a.hostPort, a.direct.Addr()); err != nil {
			return nil, err
		}
		if conn, can, err := dialDirect(ctx, a.direct, e.w.Timeouts.Connect); can {
			if err != nil {
				e.noteDial(err)
				return nil, err
			}
			e.opened.Add(1)
			return conn, nil
		}
	}
	return e.dialTo(ctx, a.hostPort)
}

// secured makes a connection one with TLS.
func (e *engine) secured(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	if t := e.w.Timeouts.Connect; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

// dialTo connects to a host and port, or to what the name was resolved to at the start.
func (e *engine) dialTo(ctx context.Context, hostPort string) (conn net.Conn, err error) {
	to := e.pinned(hostPort)
	if t := e.w.Timeouts.Connect; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	if e.player.Dial != nil {
		conn, err = e.player.Dial(ctx, "tcp", to)
	} else {
		conn, err = e.dialName(ctx, hostPort, to)
	}
	if err != nil {
		e.noteDial(err)
		return nil, err
	}
	e.opened.Add(1)
	return conn, nil
}

// dialName connects to one address of a name, the first of the answer, as a connection to a virtual address goes to one replica: one
// that refuses it is a failure, and not hidden by the next address. Only of both families, as localhost may have, one each is tried.
func (e *engine) dialName(ctx context.Context, hostPort, to string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return nil, err
	}
	found, err := e.player.resolver().LookupHost(ctx, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	// Keep-alive probes are off: a load generator's connections are busy, and each costs system calls to set up.
	d := net.Dialer{KeepAlive: -1, ControlContext: e.player.Guard.control(hostPort)}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(found[0], port))
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	isV6 := func(address string) bool { return strings.Contains(address, ":") }
	i := slices.IndexFunc(found, func(address string) bool { return isV6(address) != isV6(found[0]) })
	if i < 0 {
		return nil, err
	}
	return d.DialContext(ctx, "tcp", net.JoinHostPort(found[i], port))
}

// resolver is a new one for each connection: a shared one answers all who ask at the same time with one answer, and so would send
// clients that begin together to one replica of a service that is spread by DNS.
func (p Player) resolver() *net.Resolver {
	if p.Resolver == nil {
		return new(net.Resolver)
	}
	return &net.Resolver{PreferGo: p.Resolver.PreferGo, StrictErrors: p.Resolver.StrictErrors, Dial: p.Resolver.Dial}
}

// noteDial counts the failures that are this machine's own.
func (e *engine) noteDial(err error) {
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.noPorts.Add(1)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.noFiles.Add(1)
	}
}

// toLoopback tells whether all targets are loopback by their addresses or by the one name that everybody has.
func (e *engine) toLoopback() bool {
	for _, a := range e.addrs {
		host, _, _ := net.SplitHostPort(a.hostPort)
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
