package loadgen

import (
	"context"
	"sync"
	"time"
)

// pool is the connections of an open workload and the requests that wait for one.
type pool struct {
	e    *engine
	mu   sync.Mutex
	idle []*worker // the one used last is on top, so that no more connections are kept busy than are needed
	size int
	max  int
	wait fifo
	wg   sync.WaitGroup
	gave bool // nothing more comes
}

type job struct {
	seq int64
	due time.Duration
}

type worker struct {
	slot slot
	work chan job
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

// open plays an open workload: request n is sent at its due instant, whatever became of the ones before.
func (e *engine) open(hard context.Context) {
	ctx, stop := e.graceful(hard)
	defer stop()
	defer context.AfterFunc(ctx, e.cancel)()
	schedule, err := ParseSchedule(e.w.Schedule)
	if err != nil {
		return // cannot be: Validate has parsed it
	}
	p := &pool{e: e, max: e.w.Connections}
	if p.max == 0 {
		p.max = defaultConnections
	}
	dues := schedule.Dues(e.w.Seed)
	for seq := int64(0); e.w.Requests == 0 || seq < e.w.Requests; seq++ {
		after, more := dues.Next()
		if !more || (e.w.Duration > 0 && after >= e.w.Duration) {
			break
		}
		due := e.begin + after
		if d := due - e.now(); d > 0 && !wait(ctx, d) {
			break
		}
		if ctx.Err() != nil {
			break
		}
		p.release(ctx, job{seq, due})
	}
	p.finish(ctx)
}

// release hands a request that has fallen due to a connection, or lets it wait, or drops it.
func (p *pool) release(ctx context.Context, j job) {
	p.mu.Lock()
	switch {
	case len(p.idle) > 0:
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		w.work <- j
		return
	case p.size < p.max:
		w := &worker{work: make(chan job, 1)}
		w.slot = slot{e: p.e, shard: p.e.shards[p.size%len(p.e.shards)]}
		p.size++
		p.mu.Unlock()
		w.work <- j
		p.wg.Go(func() { p.serve(ctx, w) })
		return
	case p.e.w.Backlog > 0 && p.wait.n >= p.e.w.Backlog:
		p.mu.Unlock()
		p.e.drop(j)
		return
	}
	p.wait.push(j)
	p.mu.Unlock()
}

// serve is the life of one connection's goroutine.
func (p *pool) serve(ctx context.Context, w *worker) {
	defer w.slot.close()
	var o outcome
	for j := range w.work {
		waited := false
		for {
			o = outcome{seq: j.seq, due: j.due, sent: p.e.now(), waited: waited}
			w.slot.do(ctx, &p.e.targets[int(j.seq%int64(len(p.e.targets)))], &o)
			w.slot.shard.record(&o)
			p.mu.Lock()
			if p.wait.n == 0 || ctx.Err() != nil {
				if p.gave {
					p.mu.Unlock()
					return
				}
				p.idle = append(p.idle, w)
				p.mu.Unlock()
				break
			}
			j, waited = p.wait.pop(), true
			p.mu.Unlock()
		}
	}
}

// finish lets what waits be sent and what is in flight end, until ctx is done; what is left then is dropped.
func (p *pool) finish(ctx context.Context) {
	p.mu.Lock()
	p.gave = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, w := range idle {
		close(w.work)
	}
	p.wg.Wait()
	for p.wait.n > 0 {
		p.e.drop(p.wait.pop())
	}
}

func (e *engine) drop(j job) {
	o := outcome{seq: j.seq, due: j.due, done: e.now(), class: dropped}
	e.shards[int(j.seq%int64(len(e.shards)))].record(&o)
}
