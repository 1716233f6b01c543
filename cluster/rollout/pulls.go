package rollout

import "time"

// pulls are the images on their way to the slots of a service, for clusters that only pretend to pull: what is done to a slot waits
// until its image is there.
type pulls struct {
	length time.Duration     // of one; 0: images are there
	until  map[int]time.Time // by slot, of those that are on their way
	there  map[int]bool      // by slot
	held   map[int]Action    // what waits for one
}

func newPulls(length time.Duration) *pulls {
	return &pulls{length: length, until: map[int]time.Time{}, there: map[int]bool{}, held: map[int]Action{}}
}

// begin begins to pull for a slot, if it must.
func (p *pulls) begin(slot int, now time.Time) {
	if _, begun := p.until[slot]; p.length > 0 && !begun && !p.there[slot] {
		p.until[slot] = now.Add(p.length)
	}
}

// hold keeps an action until its slot's image is there; false: it is.
func (p *pulls) hold(a Action, now time.Time) bool {
	if p.length == 0 || p.there[a.Slot] {
		return false
	}
	p.begin(a.Slot, now)
	p.held[a.Slot] = a
	return true
}

// ended lists the slots whose images have come.
func (p *pulls) ended(now time.Time) (slots []int) {
	for _, n := range sorted(p.until) {
		if !p.until[n].After(now) {
			slots = append(slots, n)
		}
	}
	return slots
}

// release returns what waited for a slot's image.
func (p *pulls) release(slot int) (acts []Action) {
	delete(p.until, slot)
	p.there[slot] = true
	if a, waited := p.held[slot]; waited {
		delete(p.held, slot)
		acts = append(acts, a)
	}
	return acts
}

// next is when the next image comes; zero: none is on its way.
func (p *pulls) next() (at time.Time) {
	for _, until := range p.until {
		if at.IsZero() || until.Before(at) {
			at = until
		}
	}
	return at
}
