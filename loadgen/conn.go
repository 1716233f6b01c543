package loadgen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// The read buffer of a connection begins small, so that 10,000 connections stay cheap, and grows only for long headers.
const (
	readBuffer = 4 << 10
	maxHead    = 64 << 10
)

// slot is the place of one connection at a time: a client of a closed workload or one of the connections of an open one.
// Everything in it belongs to one goroutine.
type slot struct {
	e     *engine
	shard *shard
	conn  net.Conn // nil: none
	addr  int      // place in engine.addrs that conn leads to
	born  time.Duration
	used  int // requests that conn has carried
	raw   *raw
	armed time.Duration // the read deadline that is set; 0: none
	limit time.Duration // instant by which the body must have come; 0: any
	buf   []byte
	r, w  int // unread bytes of buf
	h     head
	last  [2]lastName
}

// lastName remembers the latest name and its id: answers of one connection usually carry the same.
type lastName struct {
	text []byte
	id   nameID
}

func (l *lastName) lookup(n *names, b []byte) nameID {
	if len(b) == 0 {
		return 0
	}
	if !bytes.Equal(l.text, b) {
		l.id = n.id(b)
		l.text = append(l.text[:0], b...)
	}
	return l.id
}

// do makes one request and fills in everything of o but seq and due. o.sent is set by the caller.
func (s *slot) do(ctx context.Context, p *prepared, o *outcome) {
	e := s.e
	if e.foreign {
		s.doForeign(ctx, p, o)
		return
	}
	reused := s.conn != nil
	if reused && (!s.fit(p, o.sent) || (e.w.Think > 0 && s.raw != nil && s.raw.stale())) {
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
	s.settle(o, s.exchange(p, o), reused)
}

// settle judges how an exchange ended and gives the connection up if it must be.
func (s *slot) settle(o *outcome, err error, reused bool) {
	e := s.e
	if err != nil {
		s.fail(o, e.now(), classifyExchange(err, o, reused), err)
		s.close()
		return
	}
	if s.h.close || (e.w.Reuse.MaxRequests > 0 && s.used >= e.w.Reuse.MaxRequests) || e.w.Reuse.PerRequest {
		s.hangUp()
	}
}

func (s *slot) fail(o *outcome, now time.Duration, class classID, err error) {
	o.done, o.class, o.err = now, class, err
	if s.e.ctx.Err() != nil {
		o.class = cancelled
	}
}

// fit tells whether the connection may carry another request to p.
func (s *slot) fit(p *prepared, now time.Duration) bool {
	reuse := &s.e.w.Reuse
	return s.addr == p.addr && (reuse.MaxAge <= 0 || now-s.born < reuse.MaxAge)
}

func (s *slot) dial(ctx context.Context, addr int) (classID, error) {
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
func (s *slot) hangUp() {
	if s.e.w.Reuse.PerRequest {
		reset(s.conn)
	}
	s.close()
}

func (s *slot) close() {
	if s.conn != nil {
		s.e.unregister(s.conn)
		s.conn.Close()
		s.conn = nil
	}
}

// exchange sends the request and reads the whole answer.
func (s *slot) exchange(p *prepared, o *outcome) error {
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
			wire = unsent
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
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
	if len(wire) > 0 {
		if limit > 0 {
			_ = s.conn.SetWriteDeadline(s.e.origin.Add(limit))
			if s.e.stopped.Load() {
				return context.Canceled
			}
		}
		if _, err := s.conn.Write(wire); err != nil {
			return err
		}
	}
	return s.receive(p, o, limit)
}

// headerLimit is the instant by which the header must have come; 0: any.
func (e *engine) headerLimit(o *outcome) time.Duration {
	if e.w.Timeouts.Header <= 0 {
		return 0
	}
	return o.sent + o.connect + e.w.Timeouts.Header
}

// got notes that n bytes have come.
func (s *slot) got(o *outcome, n int) {
	o.done = s.e.now()
	if o.first == 0 {
		o.first = o.done
	}
	s.w += n
}

// arm sees to it that reading ends at limit, or a nudge from now. A deadline that is already set and is earlier stays:
// when it passes, read sets it anew. So a connection's timer is not touched for each request.
func (s *slot) arm(limit time.Duration) error {
	if s.armed == 0 || (limit > 0 && s.armed > limit) {
		switch {
		case limit > 0:
			s.armed = limit
		case s.raw != nil:
			s.armed = s.e.now() + nudge
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
func (s *slot) read(limit time.Duration) (int, error) {
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

// receive reads one answer.
func (s *slot) receive(p *prepared, o *outcome, limit time.Duration) error {
	e := s.e
	h := &s.h
	for {
		done := false
		if s.w > s.r {
			var err error
			if done, err = parseHead(s.buf[s.r:s.w], h); err != nil {
				o.class = malformed
				return err
			}
		}
		if done {
			s.r += h.size
			if h.status >= 200 || h.status == 101 {
				break
			}
			continue // an interim answer
		}
		if s.w == len(s.buf) {
			if err := s.makeRoom(); err != nil {
				o.class = malformed
				return err
			}
		}
		n, err := s.read(limit)
		if err != nil {
			return err
		}
		s.got(o, n)
	}
	o.status = int16(h.status)
	o.replica = s.last[0].lookup(e.replicas, h.replica)
	o.version = s.last[1].lookup(e.versions, h.version)
	s.limit = 0
	if t := e.w.Timeouts.Body; t > 0 {
		s.limit = o.done + t
	}
	var check bodyCheck
	check.want = e.w.Expect.Body
	if err := s.body(p, o, &check); err != nil {
		return err
	}
	o.class = e.judge(o, &check)
	if o.class != ok {
		o.err = e.unexpected(o)
	}
	if s.r == s.w {
		s.r, s.w = 0, 0
	} else {
		h.close = true // bytes that nobody asked for: the next answer could not be told from them
	}
	return nil
}

// makeRoom moves what is unread to the front, or grows the buffer.
func (s *slot) makeRoom() error {
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
		return nil
	}
	if len(s.buf) >= maxHead {
		return errTooBig
	}
	s.buf = append(s.buf, make([]byte, len(s.buf))...)
	return nil
}

// bodyCheck compares a body with the one that is wanted while it passes.
type bodyCheck struct {
	want []byte
	at   int64
	bad  bool
}

func (c *bodyCheck) see(b []byte) {
	if c.want == nil || c.bad {
		return
	}
	if c.at+int64(len(b)) > int64(len(c.want)) || !bytes.Equal(b, c.want[c.at:c.at+int64(len(b))]) {
		c.bad = true
	}
	c.at += int64(len(b))
}

func (s *slot) body(p *prepared, o *outcome, check *bodyCheck) error {
	h := &s.h
	switch {
	case p.head || h.status == 204 || h.status == 304:
		return nil
	case h.chunked:
		return s.chunks(o, check)
	case h.length >= 0:
		return s.skip(h.length, o, check)
	}
	h.close = true
	for { // until the server closes
		if err := s.skip(int64(s.w-s.r), o, check); err != nil {
			return err
		}
		if err := s.fill(o); err == io.EOF {
			o.done = s.e.now()
			return nil
		} else if err != nil {
			return err
		}
	}
}

// fill reads more into an empty buffer, or behind what is unread.
func (s *slot) fill(o *outcome) error {
	if s.r == s.w {
		s.r, s.w = 0, 0
	} else if s.w == len(s.buf) {
		if err := s.makeRoom(); err != nil {
			return err
		}
	}
	n, err := s.read(s.limit)
	if err != nil {
		return err
	}
	s.got(o, n)
	return nil
}

// skip passes over n bytes of body.
func (s *slot) skip(n int64, o *outcome, check *bodyCheck) error {
	for {
		have := min(n, int64(s.w-s.r))
		check.see(s.buf[s.r : s.r+int(have)])
		o.bytes += have
		s.r += int(have)
		if n -= have; n == 0 {
			return nil
		}
		if err := s.fill(o); err != nil {
			return noEOF(err)
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// line returns the next line of the answer without its end.
func (s *slot) line(o *outcome) ([]byte, error) {
	for {
		if i := bytes.IndexByte(s.buf[s.r:s.w], '\n'); i >= 0 {
			l := trimCR(s.buf[s.r : s.r+i])
			s.r += i + 1
			return l, nil
		}
		if err := s.fill(o); err != nil {
			if errors.Is(err, errTooBig) {
				o.class = malformed
			}
			return nil, noEOF(err)
		}
	}
}

// chunks reads a chunked body with its trailers.
func (s *slot) chunks(o *outcome, check *bodyCheck) error {
	for {
		l, err := s.line(o)
		if err != nil {
			return err
		}
		n, ok := chunkLength(l)
		if !ok {
			o.class = malformed
			return errChunk
		}
		if n == 0 {
			break
		}
		if err := s.skip(n, o, check); err != nil {
			return err
		}
		if l, err = s.line(o); err != nil {
			return err
		}
		if len(l) != 0 {
			o.class = malformed
			return errChunk
		}
	}
	for {
		l, err := s.line(o)
		if err != nil || len(l) == 0 {
			return err
		}
	}
}

func chunkLength(l []byte) (int64, bool) {
	if i := bytes.IndexByte(l, ';'); i >= 0 {
		l = l[:i]
	}
	l = trimSpace(l)
	if len(l) == 0 || len(l) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range l {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | int64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
