package des

import "math/bits"

// wheel keeps the events that are not soon, unsorted, by the tick in which they are due; what is due in the present tick is in a heap,
// which therefore stays small: with many events pending, most of the time of one large heap is spent waiting for memory.
//
//	heap                  ticks (ring of 256 lists, about a second)                  far (heap)
//	tick <= now's  |  now+1 | now+2 | ... | now+255   |  ...
//
// The width of a tick only decides how the work is split; the order of events does not depend on it.
type wheel struct {
	tick  int64 // events up to and with this tick are in the heap
	first int64 // tick after it that has events; never: there is none
	lists [ticks]int32
	used  [ticks / 64]uint64 // one bit for each list that is not empty
	parts []part             // of the lists
	free  int32              // list of parts
	far   heap
}

// part is a piece of a list. Lists are made of parts that are used again, the latest first, because those are in the cache.
type part struct {
	next   int32
	n      int32
	events [10]entry
}

const (
	ticks     = 256
	tickShift = 22 // a tick is 2²² ns, 4.2 ms
)

func newWheel() wheel {
	w := wheel{first: never, free: none}
	for i := range w.lists {
		w.lists[i] = none
	}
	return w
}

// keep takes an event that is due after the present tick; false: it is due sooner.
func (w *wheel) keep(e entry) bool {
	tick := e.at >> tickShift
	if tick <= w.tick {
		return false
	}
	w.first = min(w.first, tick)
	if tick-w.tick >= ticks {
		w.far.push(e)
		return true
	}
	list := &w.lists[tick&(ticks-1)]
	if *list < 0 {
		w.used[tick&(ticks-1)>>6] |= 1 << (tick & 63)
	}
	if *list < 0 || int(w.parts[*list].n) == len(w.parts[*list].events) {
		p := w.free
		if p < 0 {
			p = int32(len(w.parts))
			w.parts = append(w.parts, part{})
		} else {
			w.free = w.parts[p].next
		}
		w.parts[p].next, w.parts[p].n = *list, 0
		*list = p
	}
	p := &w.parts[*list]
	p.events[p.n] = e
	p.n++
	return true
}

// advance goes on to the first tick that has events, and puts them into the heap.
func (w *wheel) advance(h *heap) {
	w.tick = w.first
	at := w.tick & (ticks - 1)
	for list := w.lists[at]; list >= 0; {
		p := &w.parts[list]
		for i := range p.events[:p.n] {
			h.push(p.events[i])
		}
		list, p.next, w.free = p.next, w.free, list
	}
	w.lists[at] = none
	w.used[at>>6] &^= 1 << (at & 63)
	for len(w.far) > 0 && w.far[0].at>>tickShift == w.tick {
		var e entry
		w.far.pop(&e)
		h.push(e)
	}
	w.first = w.next()
	if len(w.far) > 0 {
		w.first = min(w.first, w.far[0].at>>tickShift)
	}
}

// next is the first tick after the present one whose list is not empty; never: there is none.
func (w *wheel) next() int64 {
	from := (w.tick + 1) & (ticks - 1)
	for i := range int64(ticks/64 + 1) {
		word := (from>>6 + i) & (ticks/64 - 1)
		set := w.used[word]
		switch i {
		case 0:
			set &= ^uint64(0) << (from & 63)
		case ticks / 64: // round once: the part of the first word that was left out
			set &= 1<<(from&63) - 1
		}
		if set != 0 {
			found := word<<6 + int64(bits.TrailingZeros64(set))
			return w.tick + 1 + (found-from)&(ticks-1)
		}
	}
	return never
}
