package history

import (
	"testing"
	"time"

	"coinbench/history/event"
)

// While an event is being written to a disk that takes its time, a load's requests, its intervals and the readings are recorded.
func TestASlowEventDelaysNoLoad(t *testing.T) {
	w, err := Create(t.TempDir(), Manifest{Start: time.Now()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := w.Load(LoadSpec{Name: "users"})
	if err != nil {
		t.Fatal(err)
	}
	w.events.mu.Lock() // as it is during the write
	written := make(chan error)
	go func() { written <- w.Event(Event{Payload: event.TaskJoined{}}) }()
	for _, err := range []error{l.Sample(Sample{}), l.Sample(Sample{Class: Refused}), l.Interval(Interval{}), w.Reading(Reading{})} {
		if err != nil {
			t.Error(err)
		}
	}
	select {
	case <-written:
		t.Error("the event did not wait for its file")
	default:
	}
	w.events.mu.Unlock()
	if err := <-written; err != nil {
		t.Error(err)
	}
	if err := l.End(LoadEndRecord{}, nil); err != nil { // whose event waits as any other
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
