//go:build unix

package serve

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Bind takes a TCP address without listening on it: the port is known, and a connection to it is refused. Package
// net can only do both at once, and chooses the backlog itself.
func Bind(address string) (Socket, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", address, err)
	}
	s, err := bind(addr)
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", address, err)
	}
	return s, nil
}

type tcpSocket struct {
	addr net.Addr
	mu   sync.Mutex // a service that exits closes what its job may be about to listen on
	fd   int        // -1: handed over or closed
}

func bind(addr *net.TCPAddr) (*tcpSocket, error) {
	if ip := addr.IP.To4(); ip != nil {
		return bindTo(unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}, addr.Port)
	}
	to := &unix.SockaddrInet6{Port: addr.Port}
	if addr.IP != nil {
		to.Addr = [16]byte(addr.IP.To16())
	}
	if addr.Zone != "" {
		zone, err := net.InterfaceByName(addr.Zone)
		if err != nil {
			return nil, err
		}
		to.ZoneId = uint32(zone.Index)
	}
	s, err := bindTo(unix.AF_INET6, to, addr.Port)
	if err != nil && addr.IP == nil && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		return bindTo(unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port}, addr.Port) // a host without IPv6
	}
	return s, err
}

func bindTo(family int, to unix.Sockaddr, port int) (_ *tcpSocket, err error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if family == unix.AF_INET6 {
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if port != 0 {
		// A restarted service must not wait for the connections of its predecessor to be forgotten. For a port of
		// the kernel's choice the option would only allow a second socket to be bound to it.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Bind(fd, to); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	s := &tcpSocket{fd: fd}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		s.addr = &net.TCPAddr{IP: net.IP(name.Addr[:]), Port: name.Port}
	case *unix.SockaddrInet6:
		s.addr = &net.TCPAddr{IP: net.IP(name.Addr[:]), Port: name.Port}
	}
	return s, nil
}

func (s *tcpSocket) Addr() net.Addr { return s.addr }

func (s *tcpSocket) Listen(backlog int) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil, fmt.Errorf("listen on %s: %w", s.addr, net.ErrClosed)
	}
	if err := unix.Listen(s.fd, backlog); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.addr, os.NewSyscallError("listen", err))
	}
	f := os.NewFile(uintptr(s.fd), "tcp:"+s.addr.String())
	s.fd = -1
	defer f.Close() // FileListener works on a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.addr, err)
	}
	return l, nil
}

func (s *tcpSocket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil
	}
	fd := s.fd
	s.fd = -1
	return unix.Close(fd)
}
