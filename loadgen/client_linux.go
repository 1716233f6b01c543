package loadgen

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// client is one client of a closed workload in a loop, with its connection.
type client struct {
	o      outcome // the request in flight
	a      answer
	p      *prepared
	unsent []byte // of the request
	rest   []byte // what has come of the answer and cannot be read before more has come

	index     int32
	fd        int           // -1: none
	spare     int           // a socket that is not connected; -1: none
	family    int           // of fd or spare, unless it was handed over
	addr      int           // place in engine.addrs that fd leads to
	born      time.Duration // instant when the connection stood
	used      int           // requests that it has carried
	watched   uint32        // the events that the loop's epoll instance watches on fd or spare
	busy      bool          // a request is in flight
	reused    bool          // on a connection that has carried others
	connected bool
	over      bool          // the server has sent all that it will
	refusal   syscall.Errno // why it takes no more of the request; 0: it may

	until          time.Duration // how long it waits,
	waits          *deadlines    // for what; nil: for nothing that has a limit
	before, behind *client       // in waits
}

var (
	errConnectTimeout = errors.New("the connection was not made in time")
	errHeaderTimeout  = errors.New("the header did not come in time")
)

// next is what a client does when its last request ended at done: it makes the next one at once, or thinks before.
func (l *loop) next(c *client, done time.Duration) {
	due := done + l.e.w.Think
	if due > done && due < l.end {
		l.limits[thinking].add(c, due)
		return
	}
	l.request(c, due, done)
}

// request makes the client's next request, or ends the client if there is none.
func (l *loop) request(c *client, due, now time.Duration) {
	e := l.e
	if due >= l.end || e.stopped.Load() {
		l.retire(c)
		return
	}
	seq := e.seq.Add(1) - 1
	if e.w.Requests > 0 && seq >= e.w.Requests {
		l.retire(c)
		return
	}
	c.o = outcome{seq: seq, due: due, sent: now}
	c.p = e.target(seq)
	c.busy = true
	c.unsent, c.rest, c.refusal = c.p.wire, c.rest[:0], 0
	c.a.begin(e, c.p, &c.o)
	if c.fd >= 0 && (c.addr != c.p.addr || (e.w.Reuse.MaxAge > 0 && now-c.born >= e.w.Reuse.MaxAge)) {
		l.hangUp(c)
	}
	if c.reused = c.fd >= 0; c.reused {
		c.used++
		l.outbox = append(l.outbox, c)
		return
	}
	c.addr, c.used, c.connected, c.over = c.p.addr, 1, false, false
	if l.addrs[c.addr] == nil {
		c.closeSpare()
		l.dial(e.ctx, c, c.addr)
		return
	}
	if err := l.connect(c); err != nil {
		l.failConnect(c, err)
		return
	}
	if t := e.w.Timeouts.Connect; t > 0 {
		l.limits[connecting].add(c, now+t)
	}
	l.send(c)
}

// retire ends a client.
func (l *loop) retire(c *client) {
	l.leave(c)
	l.living--
}

// connect begins to open a connection.
func (l *loop) connect(c *client) error {
	sa := l.addrs[c.addr]
	family := unix.AF_INET
	if _, is6 := sa.(*unix.SockaddrInet6); is6 {
		family = unix.AF_INET6
	}
	if c.spare >= 0 && c.family == family {
		c.fd, c.spare = c.spare, -1
	} else {
		c.closeSpare()
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		c.fd, c.family, c.watched = fd, family, 0
		if l.large {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		}
	}
	if err := unix.Connect(c.fd, sa); err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		return os.NewSyscallError("connect", err)
	}
	return nil
}

// smallRequest goes out in one piece, which Nagle's algorithm does not hold back when nothing else is on its way.
const smallRequest = 512

// sockaddr is nil for addresses that are not known or need more than their number.
func sockaddr(to netip.AddrPort) unix.Sockaddr {
	switch ip := to.Addr().Unmap(); {
	case ip.Is4():
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: ip.As4()}
	case ip.Is6() && ip.Zone() == "":
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: ip.As16()}
	}
	return nil
}

// connected takes notice that the connection is made.
func (l *loop) connected(c *client, now time.Duration) {
	e := l.e
	c.connected, c.born = true, now
	c.o.connect = max(now-c.o.sent, 1)
	if retransmitted(c.o.connect) {
		e.retried.Add(1)
	}
	if t := e.w.Timeouts.Header; t > 0 {
		l.limits[heading].add(c, now+t)
	}
}

// send writes what is unsent. The first write to a new connection also tells whether it is made.
func (l *loop) send(c *client) {
	e := l.e
	n, errno := rawWrite(uintptr(c.fd), c.unsent)
	if !c.connected && errno != unix.EAGAIN {
		now := e.now()
		c.forget()
		if errno != 0 && errno != unix.ECONNRESET && errno != unix.EPIPE { // these mean that it stood
			l.failConnect(c, os.NewSyscallError("connect", errno))
			return
		}
		e.opened.Add(1)
		l.connected(c, now)
	}
	watch := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET)
	switch {
	case errno == unix.EAGAIN:
		watch |= unix.EPOLLOUT
	case errno != 0:
		// It may have answered before; not so on a kept connection of which nothing was taken: what came there answers no request.
		if c.refusal = errno; c.reused && len(c.unsent) == len(c.p.wire) {
			l.failExchange(c, e.now(), errno)
			return
		}
		c.unsent, c.over = nil, true
		l.receive(c)
		return
	default:
		if c.unsent = c.unsent[n:]; len(c.unsent) > 0 {
			watch |= unix.EPOLLOUT
		}
	}
	if c.watched|watch != c.watched {
		op := unix.EPOLL_CTL_ADD
		if c.watched != 0 {
			op = unix.EPOLL_CTL_MOD
		}
		c.watched |= watch
		if err := unix.EpollCtl(l.poll, op, c.fd, &unix.EpollEvent{Events: c.watched, Fd: c.index}); err != nil {
			l.failExchange(c, e.now(), os.NewSyscallError("epoll_ctl", err))
		}
	}
}

// happened deals with an event on the client's connection.
func (l *loop) happened(c *client, events uint32) {
	const ends = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&ends != 0 {
		c.over = true
	}
	if c.fd < 0 {
		return
	}
	if !c.busy {
		if events&(ends|unix.EPOLLIN) != 0 {
			l.hangUp(c) // closed, or bytes that were not asked for: no request can be sent here any more
		}
		return
	}
	if !c.connected {
		if l.send(c); !c.connected || !c.busy {
			return
		}
	}
	seq := c.o.seq
	if events&(ends|unix.EPOLLIN) != 0 {
		l.receive(c) // before more is written: a server may answer before it has read the whole body
	}
	if c.busy && c.o.seq == seq && len(c.unsent) > 0 {
		l.send(c)
	}
}

// receive reads what has come of the answer.
func (l *loop) receive(c *client) {
	for {
		w := copy(l.buf, c.rest)
		n, errno := rawRead(uintptr(c.fd), l.buf[w:])
		if errno == unix.EAGAIN && c.refusal == 0 {
			return
		}
		now := l.e.now()
		if errno != 0 {
			l.failExchange(c, now, os.NewSyscallError("read", errno))
			return
		}
		if n == 0 {
			if err := c.a.closed(); err != nil {
				l.failExchange(c, now, err)
			} else {
				l.settle(c, now)
			}
			return
		}
		if c.o.done = now; c.o.first == 0 {
			c.o.first = now
		}
		c.o.received += int64(n)
		headed := c.a.headed()
		used, done, err := c.a.feed(l.buf[:w+n])
		if err != nil {
			l.failExchange(c, now, err)
			return
		}
		if done {
			l.settle(c, now)
			return
		}
		c.rest = append(c.rest[:0], l.buf[used:w+n]...)
		if !headed && c.a.headed() {
			c.forget()
			if t := l.e.w.Timeouts.Body; t > 0 {
				l.limits[bodying].add(c, now+t)
			}
		}
		if w+n < len(l.buf) && !c.over {
			return // the socket is empty
		}
	}
}

// settle ends a request whose answer is whole.
func (l *loop) settle(c *client, now time.Duration) {
	reuse := &l.e.w.Reuse
	if c.a.h.close || c.p.close || c.over || len(c.unsent) > 0 || reuse.PerRequest || (reuse.MaxRequests > 0 && c.used >= reuse.MaxRequests) {
		l.hangUp(c)
	}
	l.record(c, now, c.o.class, c.o.err)
	l.next(c, now)
}

// failConnect ends a request that found no connection.
func (l *loop) failConnect(c *client, err error) {
	l.e.noteDial(err)
	l.fail(c, l.e.now(), classifyDial(err), err)
}

// failExchange ends a request whose connection or answer is bad.
func (l *loop) failExchange(c *client, now time.Duration, err error) {
	if c.refusal != 0 && c.o.class != malformed {
		err = os.NewSyscallError("write", c.refusal) // the cause of whatever reading says
	}
	l.fail(c, now, classifyExchange(err, &c.o, c.reused), err)
}

func (l *loop) fail(c *client, now time.Duration, class classID, err error) {
	if l.e.ctx.Err() != nil {
		class = cancelled
	}
	l.record(c, now, class, err)
	l.hangUp(c)
	l.again = append(l.again, c)
}

// record ends a request.
func (l *loop) record(c *client, now time.Duration, class classID, err error) {
	c.forget()
	c.busy = false
	c.o.done, c.o.class, c.o.err = now, class, err
	l.shard.record(&c.o)
}

// hangUp ends the connection, if there is one: with a reset where every request has one of its own, see slot.hangUp.
func (l *loop) hangUp(c *client) {
	switch {
	case c.fd < 0:
		return
	case l.e.w.Reuse.PerRequest && l.addrs[c.addr] != nil && disconnect(c.fd) == nil:
		c.closeSpare()
		c.spare = c.fd
	default:
		if l.e.w.Reuse.PerRequest {
			_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
		unix.Close(c.fd)
	}
	c.fd = -1
}

// disconnect ends a socket's connection with a reset and keeps the socket for the next one (connect(2), AF_UNSPEC): the other
// side sees the same as if it were closed, and making, watching and closing a socket for each request is saved.
func disconnect(fd int) error {
	to := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
	if errno != 0 {
		return errno
	}
	return nil
}

func (c *client) closeSpare() {
	if c.spare >= 0 {
		unix.Close(c.spare)
		c.spare = -1
	}
}

// leave closes whatever the client has open.
func (l *loop) leave(c *client) {
	l.hangUp(c)
	c.closeSpare()
}
