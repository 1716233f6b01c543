package local

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/history"
	"coinbench/history/event"
)

// While the sink takes nothing at all, replicas start, join, die and are followed, and the balancer serves: the clocks of a run do not
// wait for its disk. What had happened is told afterwards, with its instants.
func TestSlowSinkDelaysNobody(t *testing.T) {
	e := &clustertest.Events{}
	var gate sync.RWMutex
	c := up(t, Config{Sink: func(x history.Event) {
		gate.RLock()
		defer gate.RUnlock()
		e.Add(x)
	}}, only(t, 1, "", nil))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	address, err := c.Address(t.Context(), "rng")
	if err != nil {
		t.Fatal(err)
	}
	answers := func(n int) func() bool {
		return func() bool {
			from := map[string]bool{}
			for range 2 * n {
				if answer, err := client.Get("http://" + address + "/"); err == nil {
					from[answer.Header.Get("X-Coinbench-Replica")] = true
					answer.Body.Close()
				}
			}
			return len(from) == n
		}
	}

	known := len(e.List())
	gate.Lock()
	scaled := make(chan error, 1)
	go func() { scaled <- c.Scale(context.WithoutCancel(t.Context()), "rng", 3) }()
	wait(t, "three replicas that answer", answers(3))
	killed := make(chan error, 1)
	go func() {
		killed <- c.Kill(context.WithoutCancel(t.Context()), "rng", 2, cluster.Fault{Down: time.Millisecond})
	}()
	wait(t, "the successor of the one that was killed", func() bool {
		all, err := c.Status(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0].Running == 3 && all[0].Tasks[1].Name == "rng.2#2"
	})
	wait(t, "three replicas that answer", answers(3))
	if n := len(e.List()); n != known {
		t.Errorf("%d events were taken through a closed gate", n-known)
	}
	opened := time.Since(c.config.Start)
	gate.Unlock()
	for _, done := range []chan error{scaled, killed} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	last := time.Duration(0)
	for _, x := range e.List() {
		if x.At < last {
			t.Errorf("%s %s at %s came after one at %s", x.Payload.Kind(), x.Task, x.At, last)
		}
		last = x.At
		if x.Is(event.TaskJoined{}) && x.At > opened {
			t.Errorf("%s joined at %s, before the gate was opened at %s", x.Task, x.At, opened)
		}
	}
	if n := e.Count(event.TaskJoined{}); n != 4 {
		t.Errorf("%d joined; want 4", n)
	}
}
