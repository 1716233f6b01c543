package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"coinbench/services/settings"
)

// servePool accepts every connection and lets requests wait for a slot, until it is told to stop.
func servePool(ctx context.Context, draining <-chan struct{}, s settings.Settings, m *metrics, l net.Listener, handler http.Handler,
	sleep func(time.Duration)) error {
	server := &http.Server{
		Handler:           slots(s, m, handler, sleep),
		ReadHeaderTimeout: s.HeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          noLog,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(limit(l, s.QueueLimit)) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		server.Close()
		return nil
	case <-draining:
		err := server.Shutdown(ctx)
		if ctx.Err() != nil {
			server.Close()
			return nil
		}
		return err
	}
}

// slots lets as many requests at a time into the handler as the concurrency says, in the order of their arrival. A
// request arrives when its body has: like Thin's reactor, the server reads it before the request takes a slot, so
// that a slow client does not hold one.
//
// No request leaves the queue: a request whose client has gone still takes its slot and its time, as in the originals,
// which do not notice. A server that noticed would recover from overload far too well.
//
// With an intake, one thread takes requests in and starts them, as in a reactor: a request that has its slot begins when
// those that came before are taken in.
func slots(s settings.Settings, m *metrics, next http.Handler, sleep func(time.Duration)) http.Handler {
	reactor := reactor{intake: s.Intake, sleep: sleep}
	var free chan struct{}
	if s.Concurrency > 0 {
		free = make(chan struct{}, s.Concurrency) // goroutines blocked in a send are woken first in, first out
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buffer(w, r, s)
		reactor.takeIn()
		arrived := time.Now()
		if free != nil {
			m.queued.Add(1)
			free <- struct{}{}
			m.queued.Add(-1)
			defer func() { <-free }()
		}
		reactor.await()
		begin := time.Now()
		m.begin(begin)
		m.queue.Observe(begin.Sub(arrived).Seconds())
		defer func() {
			end := time.Now()
			m.end(end)
			m.service.Observe(end.Sub(begin).Seconds())
		}()
		next.ServeHTTP(w, r)
	})
}

// reactor is the one thread that takes requests in. It works by instants rather than by sleeping in turn, so that the delays
// of fifty wake-ups do not add up.
type reactor struct {
	intake time.Duration // of a request
	sleep  func(time.Duration)
	mu     sync.Mutex
	until  time.Time // when all that has come is taken in
}

// takeIn returns when the request is taken in, after those before it.
func (r *reactor) takeIn() {
	if r.intake == 0 {
		return
	}
	r.mu.Lock()
	now := time.Now()
	if r.until.Before(now) {
		r.until = now
	}
	r.until = r.until.Add(r.intake)
	mine := r.until.Sub(now)
	r.mu.Unlock()
	r.sleep(mine)
}

// await returns when there is nothing to take in.
func (r *reactor) await() {
	for {
		r.mu.Lock()
		left := time.Until(r.until)
		r.mu.Unlock()
		if left <= 0 {
			return
		}
		r.sleep(left)
	}
}

// buffer replaces the body of a request by its bytes in memory, at most MaxBytes of them; what went wrong with the
// body is what reading it says. A service that reads no bodies has no MaxBytes for them.
func buffer(w http.ResponseWriter, r *http.Request, s settings.Settings) {
	if r.ContentLength == 0 || s.Service != settings.Hasher {
		return
	}
	if r.ContentLength > s.MaxBytes {
		r.Body = failedBody{&http.MaxBytesError{Limit: s.MaxBytes}}
		return
	}
	if s.HeaderTimeout > 0 {
		rc := http.NewResponseController(w)
		rc.SetReadDeadline(time.Now().Add(s.HeaderTimeout))
		defer rc.SetReadDeadline(time.Time{})
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.MaxBytes))
	if err != nil {
		r.Body = failedBody{err}
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
}

type failedBody struct{ err error }

func (b failedBody) Read([]byte) (int, error) { return 0, b.err }
func (b failedBody) Close() error             { return nil }

// limit bounds the connections of a listener that are open at once: further ones wait in the kernel.
func limit(l net.Listener, n int) net.Listener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: func() { <-l.slots }}, nil
}

func (l *limitedListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() { close(l.closed); err = l.Listener.Close() })
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
