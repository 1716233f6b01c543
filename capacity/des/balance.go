package des

import (
	"math/rand/v2"
	"slices"
	"sort"

	"coinbench/internal/seeded"
)

type policy uint8

const (
	roundRobin policy = iota
	roundRobinPerClient
	random
	leastConnections
	sticky
)

func policies() map[Balance]policy {
	return map[Balance]policy{"": roundRobin, RoundRobin: roundRobin, RoundRobinPerClient: roundRobinPerClient,
		Random: random, LeastConnections: leastConnections, Sticky: sticky}
}

// caller is what a balancer remembers of a client for one service.
type caller struct {
	turn  int32 // round robin per client; none: not begun; shared: it takes the turn of all
	stuck int32 // server of a sticky client; none
	kept  int32 // server of the kept connection; none
}

func newCaller() caller { return caller{none, none, none} }

// shared marks a client that is none of the app's: those outside come by one address, and so take one turn together.
const shared = int32(-2)

func outsider() caller { return caller{shared, none, none} }

// pick chooses a server for a new connection, none when the rotation is empty.
func (s *Sim) pick(v *service, c *caller, p *rand.PCG) int32 {
	n := len(v.rotation)
	if n == 0 {
		return none
	}
	switch v.policy {
	case roundRobinPerClient:
		if c.turn == shared {
			break
		}
		if c.turn < 0 {
			c.turn = int32(seeded.Below(p, n))
		}
		c.turn = int32((int(c.turn) + 1) % n)
		return v.rotation[c.turn]
	case random:
		return v.rotation[v.balancer.Choose(n, c.turn == shared)]
	case leastConnections:
		return v.byConns.least()
	case sticky:
		if c.stuck < 0 || !s.servers[c.stuck].inRotation || &s.services[s.servers[c.stuck].service] != v {
			c.stuck = v.rotation[seeded.Below(p, n)]
		}
		return c.stuck
	}
	v.turn++
	return v.rotation[int((v.turn-1)%uint32(n))]
}

// connections orders the servers of a rotation by their open connections: lists by number, each in the order of use. A call
// changes a number by one, so every operation is O(1).
type connections struct {
	first, last []int32 // by number of connections
	low         int     // no list below it has a server
	on          bool
}

func (c *connections) rebuild(servers []server, rotation []int32) {
	*c = connections{on: true}
	for _, i := range rotation {
		c.add(servers, i)
	}
}

func (c *connections) add(servers []server, i int32) {
	n := int(servers[i].conns)
	for len(c.first) <= n {
		c.first, c.last = append(c.first, none), append(c.last, none)
	}
	servers[i].before, servers[i].after = c.last[n], none
	if c.last[n] >= 0 {
		servers[c.last[n]].after = i
	} else {
		c.first[n] = i
	}
	c.last[n] = i
	c.low = min(c.low, n)
}

func (c *connections) remove(servers []server, i int32) {
	v := &servers[i]
	n := int(v.conns)
	if v.before >= 0 {
		servers[v.before].after = v.after
	} else {
		c.first[n] = v.after
	}
	if v.after >= 0 {
		servers[v.after].before = v.before
	} else {
		c.last[n] = v.before
	}
}

func (c *connections) least() int32 {
	for c.low < len(c.first) && c.first[c.low] < 0 {
		c.low++
	}
	if c.low == len(c.first) {
		return none
	}
	return c.first[c.low]
}

// connect adds delta to the open connections of a server.
func (s *Sim) connect(i int32, delta int32) {
	v := &s.servers[i]
	by := &s.services[v.service]
	if by.policy != leastConnections || !v.inRotation {
		v.conns += delta
		return
	}
	by.byConns.remove(s.servers, i)
	v.conns += delta
	by.byConns.add(s.servers, i)
}

func (s *Sim) join(i int32) {
	v := &s.servers[i]
	if v.inRotation {
		return
	}
	by := &s.services[v.service]
	slot := s.tasks[v.task].slot
	at := len(by.rotation)
	if at > 0 && s.slotOf(by.rotation[at-1]) > slot {
		at = s.place(by, slot+1)
	}
	by.rotation = slices.Insert(by.rotation, at, i)
	v.inRotation = true
	if by.policy == leastConnections {
		by.byConns.add(s.servers, i)
	}
}

func (s *Sim) leave(i int32) bool {
	v := &s.servers[i]
	if !v.inRotation {
		return false
	}
	by := &s.services[v.service]
	if by.policy == leastConnections {
		by.byConns.remove(s.servers, i)
	}
	v.inRotation = false
	at := s.place(by, s.tasks[v.task].slot)
	for by.rotation[at] != i { // the tasks of one slot
		at++
	}
	by.rotation = slices.Delete(by.rotation, at, at+1)
	return true
}

func (s *Sim) slotOf(server int32) int { return s.tasks[s.servers[server].task].slot }

// place is the index of the first server in rotation of a slot, or of one after it.
func (s *Sim) place(v *service, slot int) int {
	return sort.Search(len(v.rotation), func(i int) bool { return s.slotOf(v.rotation[i]) >= slot })
}
