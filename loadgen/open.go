package loadgen

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// open plays an open workload: request n is sent at its due instant, whatever became of the ones before.
//
// One goroutine, the pacer, waits for each due instant and writes the request itself on an idle connection, so that no
// other goroutine has to wake up first. When no connection is idle a new one is opened; when all that are allowed are busy
// the request waits, first come, first served, with its due instant. The schedule ends at Duration; what is waiting or in
// flight then has Workload.Grace to end.
func (e *engine) open() {
	ctx := e.ctx
	schedule, err := ParseSchedule(e.w.Schedule)
	if err != nil {
		return // cannot be: Validate has parsed it
	}
	p := &pool{e: e, ctx: ctx, idle: make([][]*worker, len(e.addrs)), max: e.w.Connections}
	if p.max == 0 {
		p.max = defaultConnections
	}
	dues := schedule.Dues(e.w.Seed)
	sleep, release := e.pacer(ctx)
	defer release()
	var seq int64
	for ; e.w.Requests == 0 || seq < e.w.Requests; seq++ {
		after, more := dues.Next()
		if !more || (e.w.Duration > 0 && after >= e.w.Duration) {
			break
		}
		due := e.begin + after
		now := e.now()
		if due > now {
			if !sleep(due) {
				break
			}
			now = e.now()
		}
		if ctx.Err() != nil {
			break
		}
		p.release(job{seq, due, now - due}, now)
	}
	e.seq.Store(seq)
	if after, more := dues.Next(); more && e.exhausted() {
		e.nextDue = e.begin + after
	}
	p.finish()
}

// job is a request that has fallen due.
type job struct {
	seq  int64
	due  time.Duration
	late time.Duration // how late the pacer released it
}

// pool is the connections of an open workload and the requests that wait for one.
type pool struct {
	e   *engine
	ctx context.Context
	max int
	wg  sync.WaitGroup

	mu    sync.Mutex
	size  int         // connections that exist or are being made
	idle  [][]*worker // by address; the one used last is on top, so that no more connections are kept busy than are needed
	wait  fifo
	ended bool // nothing more falls due
}

// worker is one connection of an open workload with the goroutine that reads from it, which also reads while nothing is
// asked for: so a close by the server is seen before the next request is sent.
type worker struct {
	conn    connection
	o       outcome // the request in flight; its goroutine's own, but for the moment when the pacer claims it
	claimed bool    // under pool.mu: o is a request that the pacer has sent or is about to send
}

// fifo is a queue of jobs.
type fifo struct {
	ring  []job
	first int
	n     int
}

func (q *fifo) push(j job) {
	if q.n == len(q.ring) {
		ring := make([]job, max(64, 2*len(q.ring)))
		for i := range q.n {
			ring[i] = q.ring[(q.first+i)%len(q.ring)]
		}
		q.ring, q.first = ring, 0
	}
	q.ring[(q.first+q.n)%len(q.ring)] = j
	q.n++
}

func (q *fifo) pop() job {
	j := q.ring[q.first]
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	return j
}

func (e *engine) target(seq int64) *prepared { return &e.targets[int(seq%int64(len(e.targets)))] }

// release hands a request that has fallen due to a connection, or lets it wait, or drops it. Called by the pacer only.
func (p *pool) release(j job, now time.Duration) {
	e := p.e
	t := e.target(j.seq)
	p.mu.Lock()
	if w := p.claim(t, now); w != nil {
		w.o = outcome{seq: j.seq, due: j.due, sent: now}
		w.claimed = true
		err := w.conn.arm(e.headerLimit(&w.o))
		conn, raw := w.conn.conn, w.conn.raw // after the unlock they are its goroutine's
		small := raw != nil && len(t.wire) <= largeRequest
		if !small && err == nil {
			w.conn.rest = send(conn, t.wire)
		}
		p.mu.Unlock()
		if small && err == nil {
			err = post(conn, raw, t.wire)
		}
		if err != nil {
			conn.Close() // its reader notices
		}
		return
	}
	if p.size >= p.max {
		p.evict() // an idle connection to another address
	}
	if p.size < p.max {
		n := p.size
		p.size++
		p.mu.Unlock()
		p.wg.Go(func() {
			w := &worker{conn: connection{e: e, shard: e.shards[n%len(e.shards)]}}
			p.serve(w, j)
		})
		return
	}
	if e.w.Backlog > 0 && p.wait.n >= e.w.Backlog {
		p.mu.Unlock()
		e.drop(j)
		return
	}
	p.wait.push(j)
	p.mu.Unlock()
}

// claim takes an idle connection that may carry a request to t, and gives up those that have become too old. The lock is
// held.
func (p *pool) claim(t *prepared, now time.Duration) *worker {
	for {
		stack := p.idle[t.addr]
		if len(stack) == 0 {
			return nil
		}
		w := stack[len(stack)-1]
		p.idle[t.addr] = stack[:len(stack)-1]
		if w.conn.fit(t, now) {
			return w
		}
		p.giveUp(w)
	}
}

// giveUp closes a connection that is no longer in idle; its goroutine will see that and end. The lock is held.
func (p *pool) giveUp(w *worker) {
	p.size--
	w.conn.conn.Close()
}

// evict gives up one idle connection, if there is one. The lock is held.
func (p *pool) evict() {
	for a, stack := range p.idle {
		if len(stack) > 0 {
			p.idle[a] = stack[1:]
			p.giveUp(stack[0])
			return
		}
	}
}

// next is what a connection does after a request: the request that has waited longest, if any. Otherwise the connection
// becomes idle, if it lives and there is more to come, or its place is free again.
func (p *pool) next(w *worker) (j job, waiting, idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.wait.n > 0 && p.ctx.Err() == nil:
		return p.wait.pop(), true, false
	case w.conn.conn != nil && !p.ended:
		w.claimed = false
		p.idle[w.conn.addr] = append(p.idle[w.conn.addr], w)
		return job{}, false, true
	}
	p.size--
	return job{}, false, false
}

// serve is the life of one connection's goroutine. It begins with a request that needs a connection.
func (p *pool) serve(w *worker, j job) {
	e, s := p.e, &w.conn
	defer s.close()
	waited := false
	for {
		w.o = outcome{seq: j.seq, due: j.due, sent: e.now(), waited: waited, late: j.late}
		s.do(p.ctx, e.target(j.seq), &w.o)
		s.shard.record(&w.o)
		for {
			var waiting, idle bool
			if j, waiting, idle = p.next(w); waiting {
				waited = true
				break
			}
			if !idle || !p.await(w) {
				return
			}
			t := e.target(w.o.seq)
			s.used++
			s.settle(t, &w.o, s.receive(t, &w.o, e.headerLimit(&w.o)), true)
			s.shard.record(&w.o)
		}
	}
}

// await reads from an idle connection until the pacer has claimed it and the first bytes of an answer are there.
// false: the connection is over, because the server closed it or the pool gave it up.
func (p *pool) await(w *worker) bool {
	s := &w.conn
	for {
		n, err := s.conn.Read(s.buf[s.w:])
		p.mu.Lock()
		if w.claimed {
			p.mu.Unlock()
			if n > 0 {
				s.got(&w.o, n)
			}
			// An error shows again when the answer is read.
			return true
		}
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && !p.e.stopped.Load() {
			// The deadline of an earlier request: an idle connection has none.
			s.armed = 0
			_ = s.conn.SetReadDeadline(time.Time{})
			p.mu.Unlock()
			continue
		}
		// Closed, or bytes that were not asked for: no request can be sent here any more.
		if p.remove(w) {
			p.size--
		}
		p.mu.Unlock()
		return false
	}
}

// remove takes a connection out of idle; false: it was not there any more. The lock is held.
func (p *pool) remove(w *worker) bool {
	stack := p.idle[w.conn.addr]
	for i := len(stack) - 1; i >= 0; i-- {
		if stack[i] == w {
			p.idle[w.conn.addr] = append(stack[:i], stack[i+1:]...)
			return true
		}
	}
	return false
}

// largeRequest is what is written alongside the goroutine that reads, since the socket's buffer might not take it at once.
const largeRequest = 16 << 10

// post writes a small request from the pacer, alongside the goroutine that reads, without waiting.
func post(conn net.Conn, raw *raw, wire []byte) error {
	unsent, err := raw.write(wire)
	if err == nil && len(unsent) > 0 { // a server that takes so little at a time
		send(conn, unsent)
	}
	return err
}

// finish lets what waits be sent and what is in flight end, until the grace is over; what still waits then is dropped.
func (p *pool) finish() {
	p.mu.Lock()
	p.ended = true
	for a, stack := range p.idle {
		for _, w := range stack {
			p.giveUp(w)
		}
		p.idle[a] = nil
	}
	p.mu.Unlock()
	p.wg.Wait()
	for p.wait.n > 0 {
		p.e.drop(p.wait.pop())
	}
}

// drop records a request that fell due and is never sent.
func (e *engine) drop(j job) {
	o := outcome{seq: j.seq, due: j.due, done: e.now(), class: dropped, late: j.late}
	e.shards[int(j.seq%int64(len(e.shards)))].record(&o)
}
