package loadgen

import (
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw sends a request and waits for its answer with one system call less than Write and Read need. Read tries the socket
// before it waits, which just after a request cannot succeed; raw waits first. The order matters: the poller's readiness
// is reset, then the request is written, then we wait, so that the answer's edge cannot be lost.
//
// What can be lost is the edge of a close that came between the last answer and this request. Most such closes answer the
// request with a reset, which is an edge of its own; against the rest, a wait never lasts longer than maxWait before the
// socket is read anyway.
type raw struct {
	conn syscall.RawConn
	step func(fd uintptr) bool

	wire []byte // still to be written
	buf  []byte
	n    int
	err  error

	post posting
}

// posting is a write alongside a goroutine that reads; it shares nothing with the rest of raw.
type posting struct {
	run   func(fd uintptr)
	wire  []byte
	errno syscall.Errno
}

func (p *posting) write(fd uintptr) {
	var n int
	n, p.errno = rawWrite(fd, p.wire)
	p.wire = p.wire[n:]
}

// newRaw returns nil for connections that are not the system's.
func newRaw(c net.Conn) *raw {
	sc, isSystems := c.(syscall.Conn)
	if !isSystems {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	r := &raw{conn: rc}
	r.step = r.run // method values are made once: making one per request would allocate
	r.post.run = r.post.write
	return r
}

// maxWait bounds a wait that nothing else bounds.
const maxWait = time.Second

// run is called by the poller's loop: first to write, then, when the socket is readable, to read.
func (r *raw) run(fd uintptr) bool {
	if len(r.wire) > 0 {
		n, errno := rawWrite(fd, r.wire)
		if errno != 0 && errno != unix.EAGAIN {
			r.err = errno
			return true
		}
		r.wire = r.wire[n:]
		return len(r.wire) > 0 // the socket is full: the caller goes on with Write
	}
	n, errno := rawRead(fd, r.buf)
	switch {
	case errno == unix.EAGAIN:
		return false
	case errno != 0:
		r.err = errno
	case n == 0:
		r.err = io.EOF
	}
	r.n = n
	return true
}

// exchange writes wire and reads into buf. unsent is what of wire could not be written at once.
func (r *raw) exchange(wire, buf []byte) (n int, unsent []byte, err error) {
	r.wire, r.buf, r.n, r.err = wire, buf, 0, nil
	err = r.conn.Read(r.step)
	unsent = r.wire
	r.wire, r.buf = nil, nil
	if err == nil {
		err = r.err
	}
	return r.n, unsent, err
}

// write writes without waiting, alongside a goroutine that reads. It returns what could not be written.
func (r *raw) write(wire []byte) (unsent []byte, err error) {
	p := &r.post
	p.wire, p.errno = wire, 0
	err = r.conn.Control(p.run)
	if err == nil && p.errno != 0 && p.errno != unix.EAGAIN {
		err = p.errno
	}
	unsent, p.wire = p.wire, nil
	return unsent, err
}

// stale tells whether an idle connection is over: the server has closed it, or sent what was not asked for.
func (r *raw) stale() bool {
	over := false
	err := r.conn.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		over = err != unix.EAGAIN && err != unix.EINTR // end of file is no error
	})
	return over || err != nil
}

// The sockets are non-blocking, so these calls end at once and need not tell the scheduler.
func rawWrite(fd uintptr, b []byte) (int, syscall.Errno) { return rawCall(unix.SYS_SENDTO, fd, b) }
func rawRead(fd uintptr, b []byte) (int, syscall.Errno)  { return rawCall(unix.SYS_RECVFROM, fd, b) }

func rawCall(call, fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
