package cluster

import (
	"maps"
	"slices"
	"time"
)

// Pulls are the images on their way to the places of a service, for clusters that only pretend to pull: what is done to a slot waits
// until its image is there. Like Rolling it decides and does nothing itself.
type Pulls struct {
	length time.Duration     // of one; 0: images are there
	until  map[int]time.Time // by slot, of those that are on their way
	there  map[int]bool      // by slot
	held   map[int]Act       // what waits for one
}

// NewPulls begins a rollout in which each pull takes so long; 0: images are there.
func NewPulls(length time.Duration) *Pulls {
	return &Pulls{length: length, until: map[int]time.Time{}, there: map[int]bool{}, held: map[int]Act{}}
}

// Begin begins to pull for a slot, if it must.
func (p *Pulls) Begin(slot int, now time.Time) {
	if _, begun := p.until[slot]; p.length > 0 && !begun && !p.there[slot] {
		p.until[slot] = now.Add(p.length)
	}
}

// Hold keeps an act until its slot's image is there; false: it is.
func (p *Pulls) Hold(a Act, now time.Time) bool {
	if p.length == 0 || p.there[a.Slot] {
		return false
	}
	p.Begin(a.Slot, now)
	p.held[a.Slot] = a
	return true
}

// Ended lists the slots whose images have come.
func (p *Pulls) Ended(now time.Time) (slots []int) {
	for _, n := range slices.Sorted(maps.Keys(p.until)) {
		if !p.until[n].After(now) {
			slots = append(slots, n)
		}
	}
	return slots
}

// Release returns what waited for a slot's image.
func (p *Pulls) Release(slot int) (acts []Act) {
	delete(p.until, slot)
	p.there[slot] = true
	if a, waited := p.held[slot]; waited {
		delete(p.held, slot)
		acts = append(acts, a)
	}
	return acts
}

// Next is when the next image comes; zero: none is on its way.
func (p *Pulls) Next() (at time.Time) {
	for _, until := range p.until {
		if at.IsZero() || until.Before(at) {
			at = until
		}
	}
	return at
}
