package history

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Of a load: most edges, and most that failures make between two others.
const (
	MaxEdges    = 4096
	maxFailures = 1000
)

// EdgeStep is the grid of the edges that failures make.
const EdgeStep = 100 * time.Millisecond

// Edges are the instants of a load at which something happened to its service: a rollout or a fault began, went on, ended. Requests
// that fell due before and after an edge count in different intervals, so that what a disturbance did to them can be told to the
// request, however many there were. After the first edge each failure makes one, too, at the end of its tenth of a second, for a
// disturbance lasts until its last failure. Edges may be used by several goroutines; nil knows none.
type Edges struct {
	mu    sync.Mutex
	fails int
	list  atomic.Pointer[[]time.Duration] // ascending; never changed
}

// Add adds an instant.
func (e *Edges) Add(at time.Duration) { e.add(at, false) }

// Fail adds the end of the tenth of a second in which a request failed.
func (e *Edges) Fail(at time.Duration) {
	if e != nil && e.list.Load() != nil {
		e.add(NextStep(at), true)
	}
}

// NextStep is the end of an instant's tenth of a second.
func NextStep(at time.Duration) time.Duration { return at.Truncate(EdgeStep) + EdgeStep }

func (e *Edges) add(at time.Duration, failure bool) {
	if e == nil {
		return
	}
	old := e.all()
	if _, known := slices.BinarySearch(old, at); known {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old = e.all()
	place, known := slices.BinarySearch(old, at)
	if known || len(old) >= MaxEdges || failure && e.fails >= maxFailures {
		return
	}
	if e.fails++; !failure {
		e.fails = 0
	}
	list := slices.Insert(slices.Clone(old), place, at)
	e.list.Store(&list)
}

func (e *Edges) all() []time.Duration {
	if e == nil {
		return nil
	}
	if list := e.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Epoch is the latest edge at or before an instant; 0: none.
func (e *Edges) Epoch(due time.Duration) time.Duration {
	list := e.all()
	for n := len(list) - 1; n >= 0 && n > len(list)-4; n-- { // nearly always one of the latest
		if list[n] <= due {
			return list[n]
		}
	}
	n, known := slices.BinarySearch(list, due)
	switch {
	case known:
		return list[n]
	case n == 0:
		return 0
	}
	return list[n-1]
}

// Until is the first edge after an epoch; 0: none.
func (e *Edges) Until(epoch time.Duration) time.Duration {
	list := e.all()
	n, known := slices.BinarySearch(list, epoch)
	if known {
		n++
	}
	if n == len(list) {
		return 0
	}
	return list[n]
}

// laterEdge is the later of two ends of epochs, of which 0 is the latest.
func laterEdge(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}
