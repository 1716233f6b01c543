package capacity

import (
	"math"
	"testing"
	"time"

	"coinbench/capacity/dockercoins"
	"coinbench/history"
)

func TestReplicasComparesTwoReadings(t *testing.T) {
	server := func(task string, at time.Duration, requests, busy, queue float64) history.Reading {
		return history.Reading{At: at, Service: "rng", Task: task, Values: history.ValuesOf(map[string]float64{
			history.Requests + `{code="200",method="GET"}`: requests, history.Busy: busy, history.Concurrency: 1, history.QueueLength: queue})}
	}
	worker := func(at time.Duration, hashes float64) history.Reading {
		return history.Reading{At: at, Service: "worker", Task: "worker.1#1", Values: history.ValuesOf(map[string]float64{history.Hashes: hashes})}
	}
	host := history.Reading{Service: "host", Task: "host", Values: history.ValuesOf(map[string]float64{history.HostCPU: 1})}
	const s = time.Second
	first := []history.Reading{worker(s, 100), server("rng.10#1", s, 50, 5, 9), server("rng.2#1", s, 0, 0, 0), server("rng.1#1", s, 1, 1, 1),
		host}
	second := []history.Reading{worker(3*s, 120), server("rng.10#1", 3*s, 65, 6.5, 4), server("rng.2#1", 3*s, 5, .5, 0),
		server("rng.1#2", 3*s, 9, 9, 9), host}

	got := Replicas(dockercoins.Roles(), first, second)
	want := []struct {
		task                     string
		perS, share, busy, queue float64
		limited                  bool
	}{
		{"rng.2#1", 2.5, .25, .25, 0, true},
		{"rng.10#1", 7.5, .75, .75, 4, true},
		{"worker.1#1", 10, 1, 0, 0, false},
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows; want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		g := got[i]
		if g.Task != w.task || math.Abs(g.PerS-w.perS) > 1e-9 || math.Abs(g.Share-w.share) > 1e-9 {
			t.Errorf("row %d is %+v; want %+v", i, g, w)
		}
		if (g.Utilisation != nil) != w.limited || w.limited && (math.Abs(*g.Utilisation-w.busy) > 1e-9 || *g.Queue != w.queue) {
			t.Errorf("%s: utilisation %v, queue %v; want %v and %v", g.Task, g.Utilisation, g.Queue, w.busy, w.queue)
		}
	}
	if rows := Replicas(dockercoins.Roles(), first, first); len(rows) != 0 {
		t.Errorf("no time passed, and %d rows", len(rows))
	}
}
