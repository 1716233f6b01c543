package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/cluster/sim"
	"coinbench/history"
)

// app is a scenario of one deployment and one window.
func app(worker, rng, hasher, measure string) string {
	return "name: case\nsteps:\n  - deploy: {worker: " + worker + ", rng: " + rng + ", hasher: " + hasher + "}\n  - measure: " + measure + "\n"
}

const steady = "{name: w, settle: 3s, for: 10s}"

// busyHost adds the counters of a machine that other programs fill.
func busyHost(r *history.Run) {
	seen := map[time.Duration]bool{}
	for _, x := range slices.Clone(r.Readings) {
		if seen[x.At] {
			continue
		}
		seen[x.At] = true
		s := x.At.Seconds()
		r.Readings = append(r.Readings, history.Reading{At: x.At, Service: "host", Task: "host", Values: history.ValuesOf(map[string]float64{
			history.HostCPU: 2 * s, history.HostBusy: 1.96 * s, history.HostPressure: .85 * s})})
	}
}

// busyGenerator makes the run's load one that its own generator limited.
func busyGenerator(r *history.Run) {
	l := &r.Loads[len(r.Loads)-1]
	l.Closing.CPUSeconds = 1.94 * (l.Closing.End - l.Begin).Seconds()
}

// Twelve constructed cases, each with what must be named and what the evidence must say.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, source string
		sets         map[string]string
		costs        sim.Costs
		change       func(*history.Run)
		part         string
		want         capacity.Cause
		evidence     string // in one of the sentences
		task         string
		try          string
	}{
		{name: "rng", source: app("10", "1", "1", steady), want: "rng", evidence: "busy 100 %", try: "Scale rng 1 → 4"},
		{name: "hasher", source: app("15", "5", "{replicas: 1, environment: {COIN_CONCURRENCY: 2}}", steady), want: "hasher",
			evidence: "hasher is busy", try: "Scale hasher"},
		{name: "worker loop", source: app("10", "5", "1", steady), want: "worker", evidence: "10 loops of 30", try: "think time"},
		{name: "pinned connections", source: string(shipped(t, "keepalive")), part: "pinned", want: capacity.CausePinned,
			evidence: "4 of 5 replicas had no request", task: "rng.1#1", try: "COIN_KEEP_ALIVE"},
		{name: "back-off storm", source: string(shipped(t, "outage")), part: "outage", want: capacity.CauseBackoff,
			evidence: "rng.1#1 was killed", task: "rng.1#1", try: "COIN_BACKOFF"},
		{name: "random balancing", source: app("10", "{replicas: 5, balance: random}", "1", steady), want: capacity.CauseBalancing,
			evidence: "while another is free", try: "round robin"},
		{name: "random balancing, nearly full", source: app("20", "{replicas: 5, balance: random}", "1", steady), want: capacity.CauseBalancing,
			evidence: "random balancing reaches"},
		{name: "generator CPU", source: "name: case\nsteps:\n  - deploy: {worker: 0, rng: 5, hasher: 1}\n  - bench: {service: hasher, method: " +
			"POST, body_bytes: 10, clients: 10, for: 5s}\n",
			change: busyGenerator, part: "hasher/c10", want: capacity.CauseGenerator, evidence: "97 % of all processors", try: "another machine"},
		{name: "host CPU", source: app("10", "5", "1", steady), change: busyHost, want: capacity.CauseHost, evidence: "85 % of the time",
			try: "quieter"},
		{name: "queue limit", source: app("20", "{replicas: 4, balance: random, environment: {COIN_QUEUE_LIMIT: 1}}", "1",
			"{name: w, settle: 10s, for: 20s}"), want: capacity.CauseQueueLimit, evidence: "tried again after 1, 2, 4 s", try: "COIN_QUEUE_LIMIT"},
		{name: "queue limit of a load", source: "name: case\nsteps:\n  - deploy: {worker: 0, rng: 1, hasher: 1}\n  - bench: {service: rng, " +
			"path: /10, clients: 400, for: 45s}\n",
			part: "rng/c400", want: capacity.CauseQueueLimit, evidence: "turned away", try: "Scale rng"},
		{name: "redis", source: app("10", "5", "1", steady), costs: sim.Costs{Redis: 300 * time.Millisecond}, want: "redis",
			evidence: "of each loop in redis", try: "Look at redis"},
		{name: "unhealthy replica", source: "name: case\nsteps:\n  - deploy: {worker: {replicas: 15, environment: {COIN_BACKOFF: 100ms}}, " +
			"rng: 3, hasher: 1}\n  - wait: {for: 2s}\n  - kill: {service: rng, replica: 2, down: 60s}\n  - measure: " + steady + "\n",
			want: capacity.CauseReplica, evidence: "rng.2#1 was killed", task: "rng.2#1", try: "out of rotation"},
		{name: "none", source: "name: case\nsteps:\n  - deploy: {worker: 0, rng: 1, hasher: 1}\n  - measure: {name: w, for: 10s, probe: " +
			"{service: rng, path: /10, every: 400ms}}\n",
			part: "probe-w", want: capacity.CauseNone, evidence: "was answered", try: "ask for more"},
		{name: "a load on a full rng", source: "name: case\nsteps:\n  - deploy: {worker: 0, rng: 1, hasher: 1}\n  - bench: {service: rng, " +
			"path: /10, clients: 20, for: 5s}\n",
			part: "rng/c20", want: "rng", evidence: "waits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run, a := simulate(t, []byte(c.source), c.costs, c.sets)
			if c.change != nil {
				c.change(run)
				again := capacity.Analyse(run)
				a = &again
			}
			x := capacity.Explain(run, a)
			name := c.part
			if name == "" {
				name = "w"
			}
			p := x.Part(name)
			if p == nil {
				t.Fatalf("no part %s of %+v", name, x.Parts)
			}
			if p.Limit != c.want || p.Task != c.task {
				t.Errorf("limit %s, task %q; want %s, %q: %q", p.Limit, p.Task, c.want, c.task, p.Evidence)
			}
			if !strings.Contains(strings.Join(p.Evidence, "\n"), c.evidence) {
				t.Errorf("evidence %q lacks %q", p.Evidence, c.evidence)
			}
			if !strings.Contains(p.Try, c.try) || p.Try == "" {
				t.Errorf("try %q lacks %q", p.Try, c.try)
			}
			for _, s := range p.Services {
				for what, i := range map[string]*capacity.Interval{"utilisation": s.Utilisation, "demand": s.DemandS, "queue": s.QueueS,
					"headroom": s.Headroom} {
					if i != nil && !(i.Low <= i.Value && i.Value <= i.High) {
						t.Errorf("%s of %s: %+v does not hold its value", what, s.Service, *i)
					}
				}
			}
		})
	}
}
