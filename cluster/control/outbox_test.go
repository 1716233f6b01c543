package control

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// A sink that takes a second for each event delays nobody who puts them; they come in order, and say when they were.
func TestOutboxWithASlowSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var taken []string
		o := NewOutbox(func(e history.Event) {
			time.Sleep(time.Second)
			taken = append(taken, e.Task+" "+e.At.String())
		}, start)
		for _, task := range []string{"a", "b", "c"} {
			time.Sleep(100 * time.Millisecond)
			before := time.Now()
			o.Put(history.NewEvent("rng", task, event.TaskJoined{}))
			if d := time.Since(before); d != 0 {
				t.Errorf("to put %s took %s", task, d)
			}
		}
		o.Flush()
		if got, want := time.Since(start), 3100*time.Millisecond; got != want {
			t.Errorf("all were taken after %s; want %s", got, want)
		}
		if want := []string{"a 100ms", "b 200ms", "c 300ms"}; !slices.Equal(taken, want) {
			t.Errorf("taken are %v; want %v", taken, want)
		}
		o.Flush() // of nothing
	})
}
