package attached

import (
	"sync"

	"coinbench/history"
)

// maxEvents is how many events are kept for clients that have not read them yet.
const maxEvents = 1 << 14

// Events keeps the latest events of a cluster for all who follow them. Add is a cluster.Sink that never waits. The zero value is ready.
type Events struct {
	mu     sync.Mutex
	list   []history.Event
	before int64         // events that are not in the list any more
	more   chan struct{} // closed at the next event; nil: none waits for it
}

// Add appends an event.
func (e *Events) Add(event history.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) >= 2*maxEvents { // only now and then, so that it costs nothing
		e.before += maxEvents
		e.list = append([]history.Event(nil), e.list[maxEvents:]...)
	}
	e.list = append(e.list, event)
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

// Last is the number of the latest event, counted from 1; 0: there was none.
func (e *Events) Last() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.before + int64(len(e.list))
}

// After returns the events after the one with a number, how many of these are lost, and what is closed when there are more.
func (e *Events) After(number int64) (events []history.Event, missed int64, more <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	missed = max(0, e.before-number)
	if from := number + missed - e.before; from < int64(len(e.list)) {
		events = append(events, e.list[from:]...)
	}
	if e.more == nil {
		e.more = make(chan struct{})
	}
	return events, missed, e.more
}
