package loadgen

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A loop never waits for one client, and looking up a name cannot be had otherwise. So a connection to an address that is
// not known yet is opened by a goroutine, which hands its socket over.

// dialled is what became of such a connection.
type dialled struct {
	c     *client
	fd    int
	class classID
	err   error
}

// dial opens c's connection alongside the loop.
func (l *loop) dial(ctx context.Context, c *client, addr int) {
	l.dials.Go(func() {
		d := dialled{c: c, fd: -1}
		conn, class, err := l.e.dial(ctx, addr)
		if err == nil {
			if d.fd, err = detach(conn); err != nil {
				class = connectFailed
			}
		}
		d.class, d.err = class, err
		l.mu.Lock()
		l.handed = append(l.handed, d)
		l.mu.Unlock()
		l.ring()
	})
}

// detach takes the socket from a connection, which is over with that.
func detach(conn net.Conn) (fd int, err error) {
	defer conn.Close()
	sc, is := conn.(syscall.Conn)
	if !is {
		return -1, errors.New("the connection has no socket")
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlled := rc.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if controlled != nil {
		return -1, controlled
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// takeOver goes on with the requests whose connections were dialled.
func (l *loop) takeOver() {
	l.mu.Lock()
	handed := l.handed
	l.handed = nil
	l.mu.Unlock()
	for _, d := range handed {
		now := l.e.now()
		if d.err != nil {
			l.fail(d.c, now, d.class, d.err)
			continue
		}
		d.c.fd, d.c.watched = d.fd, 0
		l.connected(d.c, now)
		l.send(d.c)
	}
}

// dropHanded closes what was handed over too late.
func (l *loop) dropHanded() {
	l.dials.Wait()
	for _, d := range l.handed {
		if d.fd >= 0 {
			unix.Close(d.fd)
		}
	}
}
