package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"coinbench/services/settings"
)

// serial serves one connection at a time and one request on each, in the manner of Python's single-threaded
// BaseHTTPServer. Everything that waits, waits in the kernel: the queue, its limit and its order are those of the
// accept queue, a silent client blocks everybody until the header timeout, and a client that gave up is still served.
type serial struct {
	settings settings.Settings
	metrics  *metrics
	handler  http.Handler

	mu     sync.Mutex
	conn   net.Conn // in service
	closed bool
}

// quiet is how long a draining server waits for a connection that the kernel has counted.
const quiet = 20 * time.Millisecond

// serve accepts until it is told to stop. Draining, it still serves those that were already in the queue: the kernel
// has accepted them on its behalf, and would reset them.
func (s *serial) serve(ctx context.Context, draining <-chan struct{}, l net.Listener) error {
	s.metrics.listener.Store(&l)
	defer s.metrics.listener.Store(nil)

	stopped := make(chan struct{})
	defer close(stopped)
	left := make(chan int, 1) // how many to serve after the drain began
	go func() {
		select {
		case <-stopped:
			return
		case <-ctx.Done():
		case <-draining:
			n, known := waiting(l)
			if !known {
				n = s.settings.QueueLimit // until it is quiet
			}
			left <- n
			setDeadline(l, time.Now().Add(quiet)) // wakes Accept
			select {
			case <-stopped:
				return
			case <-ctx.Done():
			}
		}
		l.Close()
		s.close()
	}()
	defer l.Close()

	drain, n := false, 0
	for {
		select {
		case n = <-left:
			drain = true
		default:
		}
		if drain {
			if n == 0 {
				return nil
			}
			n--
			setDeadline(l, time.Now().Add(quiet))
		}
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.serveConn(conn)
		case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
			if drain || ctx.Err() != nil {
				return nil
			}
			select { // the deadline of a drain that begins: its count is on the way
			case n = <-left:
				drain = true
			case <-ctx.Done():
				return nil
			}
		case errors.Is(err, net.ErrClosed):
			return err
		default: // such as no more file descriptors; the connection stays in the queue
			if !pause(ctx, nil, 10*time.Millisecond) {
				return nil
			}
		}
	}
}

func setDeadline(l net.Listener, t time.Time) {
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(t)
	}
}

// close drops the connection in service, and any later one.
func (s *serial) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn != nil {
		s.conn.Close()
	}
}

// hold makes a connection the one in service.
func (s *serial) hold(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	if c != nil && s.closed {
		c.Close()
	}
}

func (s *serial) serveConn(conn net.Conn) {
	begin := time.Now()
	wait := waited(conn)
	s.hold(conn)
	defer s.hold(nil)
	s.metrics.begin(begin)
	if exchange(conn, s.settings.HeaderTimeout, s.metrics, s.handler) {
		s.metrics.queue.Observe(wait.Seconds())
		s.metrics.service.Observe(time.Since(begin).Seconds())
	}
	s.metrics.end(time.Now())
}

// exchange reads one request from a connection, answers it in HTTP/1.0 and closes the connection. It returns false
// if there was no request: a client that only connects, as a port check does.
func exchange(conn net.Conn, timeout time.Duration, m *metrics, handler http.Handler) bool {
	defer conn.Close()
	if timeout > 0 {
		conn.SetReadDeadline(time.Now().Add(timeout))
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	w := &response{conn: conn, header: http.Header{}, timeout: timeout}
	r, err := http.ReadRequest(bufio.NewReader(limited))
	switch {
	case err == nil:
	case limited.N == maxHeader: // nothing came
		return false
	default:
		var broken *net.OpError
		status := http.StatusBadRequest
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			status = http.StatusRequestTimeout
		case limited.N <= 0:
			status = http.StatusRequestHeaderFieldsTooLarge
		case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken):
			return false // gone in the middle of its request
		}
		http.Error(w, http.StatusText(status), status)
		w.finish()
		m.answered(status, "")
		linger(conn)
		return true
	}
	limited.N = 1 << 62 // the body's bounds are the handler's
	r.RemoteAddr = conn.RemoteAddr().String()
	w.head = r.Method == http.MethodHead
	handler.ServeHTTP(w, r)
	w.finish()
	if r.ContentLength != 0 {
		linger(conn)
	}
	return true
}

// linger ends the answer and reads what the client may still be sending, for a moment: a connection that is closed
// with unread bytes is reset, and the answer may be lost with it.
func linger(conn net.Conn) {
	c, ok := conn.(interface{ CloseWrite() error })
	if !ok || c.CloseWrite() != nil {
		return
	}
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	io.CopyN(io.Discard, conn, 1<<20)
}
