package control

import (
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/history"
)

// Outbox passes events on in the order in which they were put, with the instants at which they were, from a goroutine of its own that
// lives while there are any. So they can be put while locks are held, and a sink that writes to a slow disk delays no one. Its methods
// may be called from several goroutines.
type Outbox struct {
	sink  cluster.Sink
	start time.Time

	mu        sync.Mutex
	sent      sync.Cond // of mu
	queue     []history.Event
	put, done int
	busy      bool
}

// NewOutbox returns an outbox to a sink; nil: none. Instants are since start.
func NewOutbox(sink cluster.Sink, start time.Time) *Outbox {
	o := &Outbox{sink: sink, start: start}
	o.sent.L = &o.mu
	return o
}

// Put puts an event, and gives it its instant.
func (o *Outbox) Put(e history.Event) {
	if o.sink == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	e.At = time.Since(o.start)
	o.queue = append(o.queue, e)
	o.put++
	if !o.busy {
		o.busy = true
		go o.send()
	}
}

func (o *Outbox) send() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 {
		queue := o.queue
		o.queue = nil
		o.mu.Unlock()
		for _, e := range queue {
			o.sink(e)
		}
		o.mu.Lock()
		o.done += len(queue)
		o.sent.Broadcast()
	}
	o.busy = false
}

// Flush returns when the sink has taken all that was put before. No lock may be held that the sink needs.
func (o *Outbox) Flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for all := o.put; o.done < all; {
		o.sent.Wait()
	}
}
