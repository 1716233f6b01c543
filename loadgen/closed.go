package loadgen

import (
	"context"
	"sync"
	"time"

	"coinbench/internal/precise"
)

// closed plays a closed workload: each client sends its next request when its last one ended. Where event loops can play it
// they do; otherwise every client has a goroutine.
func (e *engine) closed() {
	if e.loops() {
		return
	}
	ctx := e.ctx
	var wg sync.WaitGroup
	for i := range e.w.Clients {
		wg.Go(func() {
			s := &connection{e: e, shard: e.shards[i%len(e.shards)]}
			defer s.close()
			s.live(ctx)
		})
	}
	wg.Wait()
}

// live is one client's life: request, answer, think, again.
func (s *connection) live(ctx context.Context) {
	e := s.e
	end := time.Duration(1<<63 - 1)
	if e.w.Duration > 0 {
		end = e.begin + e.w.Duration
	}
	var o outcome
	due := e.now()
	sent := due
	for {
		if due >= end || e.stopped.Load() || ctx.Err() != nil {
			return
		}
		if e.w.Think > 0 && sent < due {
			if !e.think(ctx, due) {
				return
			}
			sent = e.now()
		}
		seq := e.seq.Add(1) - 1
		if e.w.Requests > 0 && seq >= e.w.Requests {
			return
		}
		o = outcome{seq: seq, due: due, sent: sent}
		s.do(ctx, e.target(seq), &o)
		s.shard.record(&o)
		// The instant of the last byte is also that of the next request: one reading of the clock serves both.
		sent, due = o.done, o.done+e.w.Think
	}
}

// preciseClients bounds the clients that end their think time with a precise sleep, which costs each a thread for the last
// milliseconds. Others end it up to a millisecond late, and the record says so: their lag.
const preciseClients = 64

// think waits for the end of a client's think time; false: ctx ended first.
func (e *engine) think(ctx context.Context, until time.Duration) bool {
	d := until - e.now()
	if e.player.Sleep != nil || e.w.Clients > preciseClients {
		return wait(ctx, d)
	}
	if d > coarse && !wait(ctx, d-coarse) {
		return false
	}
	precise.Until(e.origin.Add(until))
	return true
}

// wait sleeps; false: ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
