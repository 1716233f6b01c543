package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

// Lookup resolves a host's name to addresses; net.DefaultResolver.LookupHost is one.
type Lookup func(ctx context.Context, host string) ([]string, error)

// Guard keeps load on this machine's loopback and on the hosts that are named to it. It is asked twice: by Check before a load begins,
// about everything that the load names, and again for every connection, about the very address that it is to lead to. So neither a
// redirect nor a name whose address changes leads out. A nil Guard refuses nothing.
type Guard struct {
	allowed []string
	lookup  Lookup
	refused atomic.Pointer[ForeignError]
}

// NewGuard allows the hosts (names or addresses, without port) besides loopback. A nil lookup is the system's.
func NewGuard(allowed []string, lookup Lookup) *Guard {
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	return &Guard{allowed: allowed, lookup: lookup}
}

// ForeignError says that load would have gone where it must not.
type ForeignError struct{ Host, Why string }

func (f *ForeignError) Error() string {
	return fmt.Sprintf("refuse to send load to %s: %s; only load on systems that are yours to load: name it with --allow %s", f.Host, f.Why,
		f.Host)
}

// Refused is the first connection that was refused; nil: none was.
func (g *Guard) Refused() error {
	if g == nil {
		return nil
	}
	if f := g.refused.Load(); f != nil {
		return f
	}
	return nil
}

// Check refuses a workload that would send load where it must not: each target, and the proxy if there is one, must
// be loopback by every address that its name has, or its host must be allowed.
// A name that cannot be resolved is refused as well.
func (g *Guard) Check(ctx context.Context, w Workload) error {
	if g == nil {
		return nil
	}
	known := map[string]bool{}
	var errs []error
	for _, text := range w.urls() {
		u, err := parseAnyURL(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		host := strings.ToLower(u.Hostname())
		if known[host] {
			continue
		}
		known[host] = true
		errs = append(errs, g.host(ctx, host))
	}
	return errors.Join(errs...)
}

// urls are those of the targets and of the proxy.
func (w Workload) urls() []string {
	urls := make([]string, 0, len(w.Targets)+1)
	for _, t := range w.Targets {
		urls = append(urls, t.URL)
	}
	if w.Transport.Proxy != "" {
		urls = append(urls, w.Transport.Proxy)
	}
	return urls
}

// hosts are those that the workload names.
func (w Workload) hosts() (hosts []string) {
	for _, text := range w.urls() {
		if u, err := parseAnyURL(text); err == nil && !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// allows tells whether a host is named to the guard.
func (g *Guard) allows(host string) bool {
	for _, a := range g.allowed {
		if strings.EqualFold(strings.Trim(a, "[]"), host) {
			return true
		}
	}
	return false
}

// host checks every address of a host.
func (g *Guard) host(ctx context.Context, host string) error {
	if g == nil || g.allows(host) {
		return nil
	}
	addresses := []string{host}
	if _, err := netip.ParseAddr(host); err != nil {
		if addresses, err = g.lookup(ctx, host); err != nil {
			return &ForeignError{host, fmt.Sprintf("its name cannot be resolved (%v)", err)}
		}
		if len(addresses) == 0 {
			return &ForeignError{host, "its name has no address"}
		}
	}
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err != nil || !ip.Unmap().IsLoopback() {
			return notLoopback(host, a)
		}
	}
	return nil
}

func notLoopback(host, address string) *ForeignError {
	if address == host {
		return &ForeignError{host, "it is not a loopback address"}
	}
	return &ForeignError{host, "its address " + address + " is not loopback"}
}

// address refuses a connection to an address of hostPort, and remembers it.
func (g *Guard) address(hostPort string, ip netip.Addr) error {
	if g == nil || ip.Unmap().IsLoopback() {
		return nil
	}
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	if g.allows(host) {
		return nil
	}
	f := notLoopback(host, ip.String())
	g.refused.CompareAndSwap(nil, f)
	return f
}

// redirect checks where an answer leads to.
func (g *Guard) redirect(ctx context.Context, host string) error {
	err := g.host(ctx, host)
	var f *ForeignError
	if errors.As(err, &f) {
		g.refused.CompareAndSwap(nil, f)
	}
	return err
}

// control is net.Dialer's: it is called with the address that a name was resolved to, when the connection is about to be made.
func (g *Guard) control(hostPort string) func(ctx context.Context, network, address string, _ syscall.RawConn) error {
	if g == nil {
		return nil
	}
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", address, err)
		}
		return g.address(hostPort, to.Addr())
	}
}
