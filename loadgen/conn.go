package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// The read buffer of a connection begins small, so that 10,000 connections stay cheap, and grows only for long headers.
const readBuffer = 4 << 10

// connection is the place of one connection at a time: a client of a closed workload or one of the connections of an open one.
// Everything in it belongs to one goroutine.
type connection struct {
	e     *engine
	shard *shard
	conn  net.Conn // nil: none
	addr  int      // place in engine.addrs that conn leads to
	born  time.Duration
	used  int // requests that conn has carried
	raw   *raw
	armed time.Duration // the read deadline that is set; 0: none
	buf   []byte
	r, w  int // unread bytes of buf
	a     answer
	rest  sending // the part of the request that did not go out at once; nil: all of it did
}

// sending is a part of a request that is written while its answer may already be read: a server may answer before it has read the
// whole body, and then read no more of it.
type sending chan error

// send writes wire alongside the goroutine that reads. What cannot be written shows to the reader too, when there is no answer.
func send(conn net.Conn, wire []byte) sending {
	s := make(sending, 1)
	go func() {
		_, err := conn.Write(wire)
		s <- err
	}()
	return s
}

// sendingEnds is how long a whole answer waits for the end of its request, before the connection is given up instead.
const sendingEnds = 50 * time.Millisecond

// sent tells whether all of the request has gone out.
func (s sending) sent() bool {
	if s == nil {
		return true
	}
	t := time.NewTimer(sendingEnds)
	defer t.Stop()
	select {
	case err := <-s:
		return err == nil
	case <-t.C:
		return false
	}
}

// do makes one request and fills in everything of o but seq and due. o.sent is set by the caller.
func (s *connection) do(ctx context.Context, p *prepared, o *outcome) {
	e := s.e
	if e.viaNetHTTP {
		s.doNetHTTP(ctx, p, o)
		return
	}
	reused := s.conn != nil
	if reused && (!s.fit(p, o.sent) || (e.w.Think > 0 && s.stale())) {
		s.close()
		reused = false
	}
	if !reused {
		class, err := s.dial(ctx, p.addr)
		now := e.now()
		if err != nil {
			s.fail(o, now, class, err)
			return
		}
		o.connect = max(now-o.sent, 1)
		if retransmitted(o.connect) {
			e.retried.Add(1)
		}
		s.born = now
	}
	s.used++
	s.settle(p, o, s.exchange(p, o, reused), reused)
}

// settle judges how an exchange ended and gives the connection up if it must be.
func (s *connection) settle(p *prepared, o *outcome, err error, reused bool) {
	e := s.e
	rest := s.rest
	s.rest = nil
	if err != nil {
		s.fail(o, e.now(), classifyExchange(err, o, reused), err)
		s.close()
		return
	}
	if s.a.h.close || p.close || (e.w.Reuse.MaxRequests > 0 && s.used >= e.w.Reuse.MaxRequests) || e.w.Reuse.PerRequest || !rest.sent() {
		s.hangUp()
	}
}

func (s *connection) fail(o *outcome, now time.Duration, class classID, err error) {
	o.done, o.class, o.err = now, class, err
	if s.e.ctx.Err() != nil {
		o.class = cancelled
	}
}

// fit tells whether the connection may carry another request to p.
func (s *connection) fit(p *prepared, now time.Duration) bool {
	reuse := &s.e.w.Reuse
	return s.addr == p.addr && (reuse.MaxAge <= 0 || now-s.born < reuse.MaxAge)
}

// stale tells whether the server has closed the idle connection.
func (s *connection) stale() bool {
	if c, secure := s.conn.(*tls.Conn); secure {
		raw := newRaw(c.NetConn())
		return raw != nil && raw.stale()
	}
	return s.raw != nil && s.raw.stale()
}

func (s *connection) dial(ctx context.Context, addr int) (classID, error) {
	conn, class, err := s.e.dial(ctx, addr)
	if err != nil {
		return class, err
	}
	s.conn, s.raw, s.addr, s.used, s.r, s.w, s.armed = conn, newRaw(conn), addr, 0, 0, 0, 0
	if s.buf == nil {
		s.buf = make([]byte, readBuffer)
	}
	s.e.register(conn)
	return ok, nil
}

// hangUp closes a connection whose answer has been read to its end. Where every request has a connection of its own it is
// reset, so that neither side has to remember it for a minute (TIME_WAIT): at 20,000 connections a second the ports of an
// address would last for less than two seconds.
func (s *connection) hangUp() {
	if s.e.w.Reuse.PerRequest {
		reset(s.conn)
	}
	s.close()
}

func (s *connection) close() {
	if s.conn != nil {
		s.e.unregister(s.conn)
		s.conn.Close()
		s.conn = nil
	}
}

// exchange sends the request and reads the whole answer.
func (s *connection) exchange(p *prepared, o *outcome, reused bool) error {
	limit := s.e.headerLimit(o)
	wire := p.wire
	if s.raw != nil {
		for {
			if err := s.arm(limit); err != nil {
				return err
			}
			n, unsent, err := s.raw.exchange(wire, s.buf[s.w:])
			if n > 0 {
				s.got(o, n)
				return s.receive(p, o, limit)
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return s.refused(p, o, limit, err, reused && len(unsent) == len(p.wire))
			}
			wire = unsent
			if err == nil || len(unsent) == 0 {
				break
			}
			if limit > 0 && s.e.now() >= limit {
				return err
			}
			// A deadline of an earlier request passed before this one was sent: it only has to be set anew.
			s.armed = 0
		}
	}
	switch {
	case len(wire) > largeRequest:
		s.rest = send(s.conn, wire)
	case len(wire) > 0:
		if limit > 0 {
			_ = s.conn.SetWriteDeadline(s.e.origin.Add(limit))
			if s.e.stopped.Load() {
				return context.Canceled
			}
		}
		if n, err := s.conn.Write(wire); err != nil {
			return s.refused(p, o, limit, err, reused && n == 0 && len(wire) == len(p.wire))
		}
	}
	return s.receive(p, o, limit)
}

// refused is called when the server takes no more of a request: it may have answered before, which is then the answer. Not so on a
// kept connection of which nothing was taken: what came there answers no request.
func (s *connection) refused(p *prepared, o *outcome, limit time.Duration, cause error, kept bool) error {
	if kept || isTimeout(cause) {
		return cause
	}
	if err := s.receive(p, o, limit); err == nil || o.class == malformed {
		s.a.h.close = true
		return err
	}
	return cause
}

// headerLimit is the instant by which the header must have come; 0: any.
func (e *engine) headerLimit(o *outcome) time.Duration {
	if e.w.Timeouts.Header <= 0 {
		return 0
	}
	return o.sent + o.connect + e.w.Timeouts.Header
}

// got notes that n bytes have come.
func (s *connection) got(o *outcome, n int) {
	o.done = s.e.now()
	if o.first == 0 {
		o.first = o.done
	}
	o.received += int64(n)
	s.w += n
}

// arm sees to it that reading ends at limit, or a maxWait from now. A deadline that is already set and is earlier stays:
// when it passes, read sets it anew. So a connection's timer is not touched for each request.
func (s *connection) arm(limit time.Duration) error {
	if s.armed == 0 || (limit > 0 && s.armed > limit) {
		switch {
		case limit > 0:
			s.armed = limit
		case s.raw != nil:
			s.armed = s.e.now() + maxWait
		default:
			return nil
		}
		if err := s.conn.SetReadDeadline(s.e.origin.Add(s.armed)); err != nil {
			return err
		}
	}
	if s.e.stopped.Load() { // cancel's own deadline may just have been overwritten
		return context.Canceled
	}
	return nil
}

// read reads into the free part of the buffer.
func (s *connection) read(limit time.Duration) (int, error) {
	for {
		if err := s.arm(limit); err != nil {
			return 0, err
		}
		n, err := s.conn.Read(s.buf[s.w:])
		if n > 0 {
			return n, nil
		}
		if err == nil {
			return 0, io.ErrNoProgress
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || s.e.stopped.Load() || (limit > 0 && s.e.now() >= limit) {
			return 0, err
		}
		s.armed = 0
	}
}

// receive reads one answer, of which some may have come.
func (s *connection) receive(p *prepared, o *outcome, limit time.Duration) error {
	s.a.begin(s.e, p, o)
	headed := false
	for {
		used, done, err := s.a.feed(s.buf[s.r:s.w])
		s.r += used
		if done || err != nil {
			s.r, s.w = 0, 0 // what is left is of no use: the connection will be closed
			return err
		}
		if !headed && s.a.headed() {
			headed, limit = true, 0
			if t := s.e.w.Timeouts.Body; t > 0 {
				limit = o.done + t
			}
		}
		s.makeRoom()
		n, err := s.read(limit)
		if err == io.EOF {
			if err = s.a.closed(); err == nil {
				o.done = s.e.now()
			}
		}
		if err != nil || n == 0 {
			return err
		}
		s.got(o, n)
	}
}

// makeRoom sees to it that more can be read behind what is unread.
func (s *connection) makeRoom() {
	if s.w = copy(s.buf, s.buf[s.r:s.w]); s.w == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	s.r = 0
}
