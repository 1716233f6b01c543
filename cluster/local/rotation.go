package local

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"coinbench/cluster"
	"coinbench/internal/seeded"
)

// backend is one replica, as the balancer sees it.
type backend struct {
	task    string
	slot    int
	address string        // "": nothing listens on the port of the service, connections are refused
	dead    bool          // in rotation though it is known to be dead: connections are refused
	slow    time.Duration // added to every new connection
	active  int           // connections
	changed uint64        // rotation.changes when active changed last
	dialing int           // connections that are being made
	settled func()        // called once, when the backend has left and no connection is being made
}

// rotation chooses a replica for each connection. Its methods may be called from several goroutines.
type rotation struct {
	mu       sync.Mutex
	policy   cluster.Balance
	balancer seeded.Balancer
	backends []*backend     // in the order of slots
	turns    map[string]int // by client: index of the backend whose turn it is; "" is the turn of all together
	changes  uint64         // of the numbers of connections
}

func newRotation(policy cluster.Balance, balancer seeded.Balancer) *rotation {
	return &rotation{policy: policy, balancer: balancer, turns: map[string]int{}}
}

func (r *rotation) setPolicy(policy cluster.Balance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policy = policy
}

// join puts a backend in its slot's place, so that replacing a replica leaves the order as it was.
func (r *rotation) join(b *backend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(b, 0)
	i := 0
	for i < len(r.backends) && r.backends[i].slot <= b.slot {
		i++
	}
	r.backends = append(r.backends[:i], append([]*backend{b}, r.backends[i:]...)...)
	for client, next := range r.turns {
		if i < next {
			r.turns[client] = next + 1
		}
	}
}

// leave takes a backend out and calls settled, perhaps at once, when no connection to it is being made any more: from then
// on every connection that it was chosen for has reached it.
func (r *rotation) leave(b *backend, settled func()) {
	r.mu.Lock()
	for i, x := range r.backends {
		if x == b {
			r.backends = append(r.backends[:i], r.backends[i+1:]...)
			for client, next := range r.turns {
				if i < next {
					r.turns[client] = next - 1
				}
			}
			break
		}
	}
	if b.dialing > 0 {
		b.settled = settled
		settled = nil
	}
	r.mu.Unlock()
	if settled != nil {
		settled()
	}
}

// kill marks a backend as dead and leaves it in rotation.
func (r *rotation) kill(b *backend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.dead = true
}

// forget ends a client's turn.
func (r *rotation) forget(client string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.turns, client)
}

// choose chooses the backend of a client's new connection, or nil when it must be refused: by the task refusing, or because there is
// none. The caller reports back by dialed and done. client "" is anybody who has no turn of his own.
func (r *rotation) choose(client string) (b *backend, refusing string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.backends)
	if n == 0 {
		return nil, ""
	}
	visitor := client == ""
	if r.policy != cluster.RoundRobinPerClient {
		client = ""
	}
	next, begun := r.turns[client]
	if !begun && client != "" {
		next = r.balancer.Choose(n, visitor) // clients that start together would otherwise all begin with the same replica
	}
	next %= n
	i := next
	switch r.policy {
	case cluster.Random:
		i = r.balancer.Choose(n, visitor)
	case cluster.LeastConnections: // among the least the one whose number has stood the longest, as in the simulator
		for j, x := range r.backends {
			if least := r.backends[i]; x.active < least.active || x.active == least.active && x.changed < least.changed {
				i = j
			}
		}
	default:
		r.turns[client] = i + 1
	}
	b = r.backends[i]
	if b.dead || b.address == "" {
		return nil, b.task
	}
	r.count(b, 1)
	b.dialing++
	return b, ""
}

// swap puts other backends in the place of all, between two connections: none meets both sets, and none meets none. It returns those that
// were there. settled is called as by leave, when the last connection to one of them has been made.
func (r *rotation) swap(to []*backend, settled func()) (from []*backend) {
	r.mu.Lock()
	from = r.backends
	r.backends = slices.SortedFunc(slices.Values(to), func(a, b *backend) int { return a.slot - b.slot })
	waiting := 0
	for _, b := range from {
		if b.dialing > 0 {
			waiting++
		}
	}
	if waiting > 0 {
		var left atomic.Int64
		left.Store(int64(waiting))
		last := settled
		for _, b := range from {
			if b.dialing > 0 {
				b.settled = func() {
					if left.Add(-1) == 0 {
						last()
					}
				}
			}
		}
		settled = nil
	}
	r.mu.Unlock()
	if settled != nil {
		settled()
	}
	return from
}

// slow sets what is added to every new connection to a backend.
func (r *rotation) slow(b *backend, delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.slow = delay
}

// hold waits as long as the way to the backend is slow.
func (r *rotation) hold(ctx context.Context, b *backend) error {
	r.mu.Lock()
	delay := b.slow
	r.mu.Unlock()
	if delay == 0 {
		return nil
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dialed reports that a connection to the backend is made, or has failed.
func (r *rotation) dialed(b *backend) {
	r.mu.Lock()
	b.dialing--
	var settled func()
	if b.dialing == 0 {
		settled, b.settled = b.settled, nil
	}
	r.mu.Unlock()
	if settled != nil {
		settled()
	}
}

// done reports the end of a connection.
func (r *rotation) done(b *backend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(b, -1)
}

// count adds connections to a backend. The caller holds mu.
func (r *rotation) count(b *backend, more int) {
	r.changes++
	b.active, b.changed = b.active+more, r.changes
}
