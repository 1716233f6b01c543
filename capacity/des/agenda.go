package des

import "math"

// entry is something that will happen. Its order is (at, key): key begins with a sequence number, so events of one instant
// happen in the order in which they were made. gen tells whether what it was meant for is still there.
type entry struct {
	at  int64  // nanoseconds
	key uint64 // sequence << 8 | kind
	id  int32
	gen uint32
}

type kind uint8

const (
	_ kind = iota
	workerBegins
	workerCallsFirst
	workerCallsNext
	workerFlushed
	workerStored
	workerBackoffEnds
	callArrives
	callRetries
	callEnds
	callFails
	callTimesOut
	clientSends
	loadDue
	loadEnds
	loadGraceEnds
	taskBoots
	taskReady
	taskJoins
	taskGraceEnds
	taskRestarts
	taskThaws
	taskMissed
	checkBegins
)

func (e *entry) before(o *entry) bool { return e.at < o.at || e.at == o.at && e.key < o.key }

const (
	maxLanes = 12
	never    = math.MaxInt64
)

// agenda holds the pending events: rings for the delays that are constant, a heap and a wheel for all others.
type agenda struct {
	heap     heap
	wheel    wheel // of what is not soon
	sequence uint64
	next     [maxLanes]int64 // when the first event of each lane is due; never: it is empty
	lanes    []lane
	noLanes  bool // everything in the heap: the simple version that the fast one is tested against
}

// lane is a ring of events that all have the same delay. Time never runs backwards, so it is sorted.
type lane struct {
	delay      int64
	ring       []entry // a power of two
	head, tail uint32
}

// lane returns the index of the lane for a delay, -1 when all lanes are taken.
func (a *agenda) lane(delay int64) int8 {
	for i := range a.lanes {
		if a.lanes[i].delay == delay {
			return int8(i)
		}
	}
	if len(a.lanes) == maxLanes || a.noLanes {
		return -1
	}
	a.lanes = append(a.lanes, lane{delay: delay, ring: make([]entry, 16)})
	a.next[len(a.lanes)-1] = never
	return int8(len(a.lanes) - 1)
}

// after makes an event due in delay; l is the delay's lane or -1.
func (a *agenda) after(now, delay int64, l int8, k kind, id int32, gen uint32) {
	a.sequence++
	e := entry{at: now + delay, key: a.sequence<<8 | uint64(k), id: id, gen: gen}
	if l < 0 {
		if a.noLanes || !a.wheel.keep(e) {
			a.heap.push(e)
		}
		return
	}
	q := &a.lanes[l]
	if q.tail-q.head == uint32(len(q.ring)) {
		q.grow()
	}
	if q.head == q.tail {
		a.next[l] = e.at
	}
	q.ring[q.tail&uint32(len(q.ring)-1)] = e
	q.tail++
}

func (q *lane) grow() {
	ring := make([]entry, 2*len(q.ring))
	n := uint32(0)
	for i := q.head; i != q.tail; i++ {
		ring[n] = q.ring[i&uint32(len(q.ring)-1)]
		n++
	}
	q.ring, q.head, q.tail = ring, 0, n
}

// pop takes the earliest event that is due by until.
func (a *agenda) pop(until int64, e *entry) bool {
	at, from := int64(never), -1
	var key uint64
	for i := range a.lanes {
		t := a.next[i]
		if t > at || t == never {
			continue
		}
		q := &a.lanes[i]
		k := q.ring[q.head&uint32(len(q.ring)-1)].key
		if t < at || k < key {
			at, key, from = t, k, i
		}
	}
	if len(a.heap) == 0 && a.wheel.first <= at>>tickShift {
		a.wheel.advance(&a.heap)
	}
	if len(a.heap) > 0 {
		if h := &a.heap[0]; from < 0 || h.at < at || h.at == at && h.key < key {
			at, from = h.at, maxLanes
		}
	}
	if at > until || from < 0 {
		return false
	}
	if from == maxLanes {
		a.heap.pop(e)
		return true
	}
	q := &a.lanes[from]
	*e = q.ring[q.head&uint32(len(q.ring)-1)]
	q.head++
	if q.head == q.tail {
		a.next[from] = never
	} else {
		a.next[from] = q.ring[q.head&uint32(len(q.ring)-1)].at
	}
	return true
}

// heap is a 4-ary heap of events, the earliest first.
type heap []entry

func (q *heap) push(e entry) {
	*q = append(*q, e)
	h := *q
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (q *heap) pop(top *entry) {
	h := *q
	*top = h[0]
	n := len(h) - 1
	e := h[n]
	h = h[:n]
	*q = h
	if n == 0 {
		return
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= n {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, n); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&e) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
}
