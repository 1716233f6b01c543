package loadgen

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fdConn is a TCP connection made without package net, which needs about ten more system calls and allocations for one:
// with a new connection per request they count.
type fdConn struct{ *os.File }

func (fdConn) LocalAddr() net.Addr  { return nil }
func (fdConn) RemoteAddr() net.Addr { return nil }

// dialDirect connects to a literal address. false: it cannot, and package net must.
func dialDirect(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, bool, error) {
	var sa unix.Sockaddr
	family := unix.AF_INET
	switch ip := to.Addr().Unmap(); {
	case ip.Is4():
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: ip.As4()}
	case ip.Is6() && ip.Zone() == "":
		sa, family = &unix.SockaddrInet6{Port: int(to.Port()), Addr: ip.As16()}, unix.AF_INET6
	default:
		return nil, false, nil
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, true, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, sa)
	ready := err == nil
	if err == unix.EINPROGRESS || err == unix.EINTR {
		// On loopback the handshake is done by now.
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(poll, 0); n > 0 {
			ready, err = true, connectError(fd, poll[0].Revents)
		} else {
			err = nil
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, true, os.NewSyscallError("connect", err)
	}
	c := fdConn{os.NewFile(uintptr(fd), "tcp")}
	if !ready {
		if err := c.awaitConnect(ctx, timeout); err != nil {
			c.Close()
			return nil, true, err
		}
	}
	return c, true, nil
}

func connectError(fd int, events int16) error {
	if events&(unix.POLLERR|unix.POLLHUP) == 0 {
		return nil
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code == 0 {
		return nil
	}
	return syscall.Errno(code)
}

// awaitConnect waits until the connection is made.
func (c fdConn) awaitConnect(ctx context.Context, timeout time.Duration) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if timeout > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	unhook := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	defer unhook()
	var failed error
	err = rc.Write(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(poll, 0); n <= 0 {
			return false
		}
		failed = connectError(int(fd), poll[0].Revents)
		return true
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return os.NewSyscallError("connect", err)
	case failed != nil:
		return os.NewSyscallError("connect", failed)
	}
	return c.SetWriteDeadline(time.Time{})
}

// reset makes Close send a reset.
func reset(c net.Conn) {
	var rc syscall.RawConn
	switch c := c.(type) {
	case fdConn:
		rc, _ = c.SyscallConn()
	case *net.TCPConn:
		_ = c.SetLinger(0)
	case *tls.Conn:
		reset(c.NetConn())
	}
	if rc != nil {
		_ = rc.Control(func(fd uintptr) {
			_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		})
	}
}
