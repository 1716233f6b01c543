package capacity_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/capacity"
	"coinbench/capacity/capacitytest"
	"coinbench/history"
	"coinbench/history/event"
)

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s: %.4g, want %.4g within %.2g", what, got, want, tolerance)
	}
}

func rate(t *testing.T, a *capacity.Analysis, window string) float64 {
	t.Helper()
	w := a.Window(window)
	if w == nil || w.HashRate == nil {
		t.Fatalf("window %q has no hash rate", window)
	}
	return w.HashRate.Value
}

func TestBottleneckRun(t *testing.T) {
	a := capacity.Analyse(capacitytest.New("bottleneck").Bottleneck())
	within(t, "1 worker", rate(t, &a, "sweep/1"), 3.33, .01)
	within(t, "3 workers", rate(t, &a, "sweep/3"), 10, .01)
	within(t, "10 workers", rate(t, &a, "saturated"), 10, .01)
	within(t, "10 workers, 5 rng", rate(t, &a, "scaled"), 33.33, .01)
	within(t, "think 10 ms", rate(t, &a, "fast"), 47.6, .01)

	w := a.Window("saturated")
	if w.Bottleneck.Limit != "rng" {
		t.Errorf("saturated: limit %q, want rng", w.Bottleneck.Limit)
	}
	rng := w.Service("rng")
	within(t, "rng's utilisation", *rng.Utilisation, 1, .02)
	within(t, "rng's demand", *rng.DemandS, .1, .01)
	within(t, "rng's bound", *rng.BoundPerS, 10, .01)
	within(t, "wait for rng", *rng.WaitS, .7, .02)
	if len(w.Bottleneck.Next) == 0 || w.Bottleneck.Next[0].Limit != "worker" || w.Bottleneck.Next[0].Change != "rng 1 → 4" {
		t.Errorf("next limit: %+v, want the workers' loop after rng 1 → 4", w.Bottleneck.Next)
	}
	within(t, "next bound", w.Bottleneck.Next[0].BoundPerS, 33.3, .01)
	if l := a.Window("scaled").Bottleneck.Limit; l != "worker" {
		t.Errorf("scaled: limit %q, want worker", l)
	}

	if len(a.Sweeps) != 1 || a.Sweeps[0].Service != "worker" || len(a.Sweeps[0].Points) != 10 {
		t.Fatalf("sweeps: %+v, want one of 10 points over worker", a.Sweeps)
	}
	curve := a.Curve(a.Sweeps[0])
	within(t, "knee", *curve.KneeWorkers, 3, .01)
	for _, p := range a.Sweeps[0].Points {
		within(t, "the bound at "+p.Window, p.PerS, curve.At(p.Replicas).UpperPerS, .01)
	}
	if !a.Reconciliation.Balanced || a.Reconciliation.Residual != 0 {
		t.Errorf("books: %s", a.Reconciliation.Why)
	}
	if a.Overall.Outcome != capacity.OutcomePass || !a.Validity.OK {
		t.Errorf("%s: %s %v %v", a.Overall.Outcome, a.Overall.Why, a.Validity.Doubts, a.Validity.Warnings)
	}
}

// The calibrated profile reaches the numbers that the articles measured (DockerCoins with 107, 105 and 3 ms).
func TestWorkshopProfile(t *testing.T) {
	a := capacity.Analyse(capacitytest.New("bottleneck").Workshop().Bottleneck())
	within(t, "1 worker", rate(t, &a, "sweep/1"), 3.14, .01)
	within(t, "10 workers", rate(t, &a, "saturated"), 9.35, .01)
	within(t, "5 rng", rate(t, &a, "scaled"), 31.4, .01)
	within(t, "think 10 ms", rate(t, &a, "fast"), 43.9, .01)
	if a.Run.Profile != "workshop" {
		t.Errorf("profile %q", a.Run.Profile)
	}
	within(t, "overhead of a loop", a.Window("scaled").Bounds.OverheadS, .006, .05)
	for _, r := range a.Comparison {
		if r.Kind == "bench" {
			if len(r.Published) != 1 {
				t.Errorf("%s: %d published numbers, want article A1's one", r.Name, len(r.Published))
			}
			if r.Attained == nil || *r.Attained > 1.001 || *r.Attained < .95 {
				t.Errorf("%s: attained %v of the bound", r.Name, r.Attained)
			}
		}
	}
}

func TestPinnedConnections(t *testing.T) {
	m := capacitytest.New("keepalive")
	m.Pinned = true
	m.Deploy(10, 5)
	m.Measure("pinned", 2*time.Second, 8*time.Second)
	a := capacity.Analyse(m.Finish())
	within(t, "rate", rate(t, &a, "pinned"), 10, .01)
	b := a.Window("pinned").Bottleneck
	if b.Limit != string(capacity.CausePinned) || b.Task != "rng.1#1" {
		t.Errorf("limit %q, task %q: one replica is saturated and four are idle", b.Limit, b.Task)
	}
	for _, r := range a.Comparison {
		if len(r.Published) > 0 {
			t.Errorf("%s is compared with %v, which were measured without keep-alive", r.Name, r.Published)
		}
	}
}

// A replica that was killed and its successor were there one after the other: that the one was busier than the other says nothing of how
// connections are spread.
func TestSuccessorIsNoIdleReplica(t *testing.T) {
	m := capacitytest.New("replaced")
	m.Deploy(15, 1)
	m.Measure("w", 2*time.Second, 20*time.Second)
	run := m.Finish()
	const half = 12 * time.Second
	var before history.Values
	for i := range run.Readings {
		switch r := &run.Readings[i]; {
		case r.Task != "rng.1#1":
		case r.At <= half:
			before = r.Values
		default:
			r.Task = "rng.1#2"
			values := map[string]float64{}
			for name, v := range r.Values.All() {
				if values[name] = v; strings.HasSuffix(name, "_total") || strings.Contains(name, "_total{") || strings.Contains(name, "_sum") ||
					strings.Contains(name, "_count") {
					values[name] -= before.Of(name)
				}
			}
			values[history.Busy] /= 2
			r.Values = history.ValuesOf(values)
		}
	}
	a := capacity.Analyse(run)
	w := a.Window("w")
	if u := w.Service("rng"); u.Hottest == nil || *u.Hottest-*u.Utilisation < .1 {
		t.Fatalf("%+v: the case is not what it shall be: one of the two is much busier", u)
	}
	if b := w.Bottleneck; b.Task != "" || strings.Contains(b.Try+b.Evidence, "spread") {
		t.Errorf("limit %q, task %q: %s; try %s", b.Limit, b.Task, b.Evidence, b.Try)
	}
}

func TestRandomBalancing(t *testing.T) {
	m := capacitytest.New("random")
	m.Random = true
	m.Deploy(10, 5)
	m.Measure("random", 2*time.Second, 30*time.Second)
	a := capacity.Analyse(m.Finish())
	if x := rate(t, &a, "random"); x < 27 || x > 30 {
		t.Errorf("rate %.2f, want 27 to 30", x)
	}
	b := a.Window("random").Bottleneck
	if b.Limit != string(capacity.CauseBalancing) || !strings.Contains(b.Evidence, "random balancing") {
		t.Errorf("%s: %s", b.Limit, b.Evidence)
	}
}

func TestOutage(t *testing.T) {
	a := capacity.Analyse(capacitytest.New("outage").Outage())
	w := a.Window("outage")
	if w.Baseline != "baseline" || w.HashesLost == nil || *w.HashesLost < 200 || *w.HashesLost > 340 {
		t.Fatalf("hashes lost: %v against %q", w.HashesLost, w.Baseline)
	}
	if w.Backoffs < 5 || w.ByClass["refused"] != w.Errors {
		t.Errorf("back-offs %v, errors %v", w.Backoffs, w.ByClass)
	}
	// A worker that stood still must not be taken at the speed of its last loops.
	within(t, "rate", w.HashRate.Value, w.Hashes/w.LengthS, .02)
	if !strings.Contains(w.Bottleneck.Evidence, "silent") {
		t.Errorf("evidence: %s", w.Bottleneck.Evidence)
	}
	if !a.Reconciliation.Balanced {
		t.Errorf("books: %s", a.Reconciliation.Why)
	}
}

// A probe makes requests that cost the server nothing. They must not make its demand look small.
func TestForeignRequests(t *testing.T) {
	run := capacitytest.New("probe")
	run.Deploy(10, 1)
	run.Measure("w", 2*time.Second, 8*time.Second)
	r := run.Finish()
	for i := range r.Readings {
		if v := &r.Readings[i]; v.Service == "rng" {
			const series = `coinbench_requests_total{code="200",method="GET"}`
			v.Values = v.Values.With(series, v.Values.Of(series)+10*v.At.Seconds())
		}
	}
	a := capacity.Analyse(r)
	within(t, "demand", *a.Window("w").Service("rng").DemandS, .1, .01)
	if l := a.Window("w").Bottleneck.Limit; l != "rng" {
		t.Errorf("limit %q, want rng", l)
	}
}

func TestWallClockStep(t *testing.T) {
	m := capacitytest.New("clock")
	m.Deploy(4, 4)
	m.Measure("w", time.Second, 8*time.Second)
	r := m.Finish()
	for i := range r.Readings {
		if v := &r.Readings[i]; v.Service == "worker" && v.At > 5*time.Second {
			v.Values = v.Values.With(history.LastHash, v.Values.Of(history.LastHash)+3600)
		}
	}
	a := capacity.Analyse(r)
	within(t, "rate in spite of the step", rate(t, &a, "w"), 13.3, .1)
	if a.Validity.OK || a.Overall.Outcome != capacity.OutcomeInconclusive {
		t.Errorf("%s: %s; a clock that was set is no sound measurement", a.Overall.Outcome, a.Overall.Why)
	}
}

// Tasks that are read one after the other give what they give when all are read at one instant, with intervals as narrow: of workers in
// step, and of such that queue since less than a loop.
func TestTasksAreReadOneAfterTheOther(t *testing.T) {
	for _, rngs := range []int{1, 5} {
		for _, settle := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 8 * time.Second} {
			measure := func(apart time.Duration) *capacity.Window {
				m := capacitytest.New("apart")
				m.Apart = apart
				m.Deploy(10, rngs)
				m.Measure("w", settle, 5*time.Second)
				a := capacity.Analyse(m.Finish())
				return a.Window("w")
			}
			at, apart := measure(0).HashRate, measure(9*time.Millisecond).HashRate
			within(t, "rate read apart", apart.Value, at.Value, .002)
			if half := (*apart.High - *apart.Low) / 2; half > .002*at.Value {
				t.Errorf("%d rng, settled %s: %.4g to %.4g; at one instant %.4g to %.4g", rngs, settle, *apart.Low, *apart.High, *at.Low, *at.High)
			}
		}
	}
}

// Workers that were replaced within a window are separate series: no counter falls, no hash counts twice.
func TestReplacedWorkers(t *testing.T) {
	m := capacitytest.New("update")
	m.Deploy(10, 5)
	m.Play(2 * time.Second)
	m.Run.Events = append(m.Run.Events, history.Event{At: m.Run.End, Payload: event.WindowBegin{Name: "rolling",
		Replicas: map[string]int{"worker": 10, "rng": 5, "hasher": 1}}})
	begin := m.Run.End
	m.UpdateThink(100*time.Millisecond, 500*time.Millisecond)
	m.Run.Events = append(m.Run.Events, history.Event{At: m.Run.End, Payload: event.WindowEnd{Name: "rolling"}})
	end := m.Run.End
	before, latest, made := map[string]float64{}, map[string]float64{}, 0.0
	for _, r := range m.Run.Readings {
		if latest[r.Task] = r.Values.Of(history.Hashes); r.At <= begin {
			before[r.Task] = latest[r.Task]
		}
	}
	for task, n := range latest {
		made += n - before[task]
	}
	a := capacity.Analyse(m.Finish())
	w := a.Window("rolling")
	if len(w.Workers) < 15 {
		t.Errorf("%d series of workers, want old and new ones", len(w.Workers))
	}
	within(t, "rate", w.HashRate.Value, made/(end-begin).Seconds(), .05)
	if w.HashRate.Value > 33.4 {
		t.Errorf("rate %.2f above the bound", w.HashRate.Value)
	}
}

// A run that is cut off anywhere is read without a panic, never passes, and says that it is incomplete.
func TestCutOffAnywhere(t *testing.T) {
	m := capacitytest.New("cut")
	m.Deploy(3, 1)
	m.Measure("w", time.Second, 4*time.Second)
	m.Bench("hasher", 50, 50)
	m.Scale("worker", 5)
	m.Measure("x", time.Second, 4*time.Second)
	whole := m.Finish()
	var objectives []capacity.Objective
	for _, text := range []string{"errors == 0", "lost == 0"} {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		objectives = append(objectives, o)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := *whole
		r.Status = history.Killed
		r.Events = r.Events[:rapid.IntRange(0, len(r.Events)-1).Draw(t, "events")]
		r.Readings = r.Readings[:rapid.IntRange(0, len(r.Readings)).Draw(t, "readings")]
		r.Loads = r.Loads[:rapid.IntRange(0, len(r.Loads)).Draw(t, "loads")]
		r.End = 0
		for _, e := range r.Events {
			r.End = max(r.End, e.At)
		}
		for _, v := range r.Readings {
			r.End = max(r.End, v.At)
		}
		a := capacity.Analyse(&r, objectives...)
		if a.Overall.Outcome == capacity.OutcomePass || a.Overall.Incomplete == "" {
			t.Fatalf("%s, incomplete %q", a.Overall.Outcome, a.Overall.Incomplete)
		}
		if _, err := json.Marshal(a); err != nil { // NaN and infinity are no JSON
			t.Fatal(err)
		}
	})
}

func TestSameHistorySameAnalysis(t *testing.T) {
	run := capacitytest.New("bottleneck").Bottleneck()
	first, err := json.Marshal(capacity.Analyse(run))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		again, _ := json.Marshal(capacity.Analyse(run))
		if !bytes.Equal(first, again) {
			t.Fatal("two analyses of one history differ")
		}
	}
}

func TestEmptyRun(t *testing.T) {
	a := capacity.Analyse(&history.Run{Status: history.Finished})
	if a.Overall.Outcome != capacity.OutcomeInconclusive {
		t.Errorf("%s: nothing was measured", a.Overall.Outcome)
	}
}

func TestWaves(t *testing.T) {
	a := capacity.Analyse(capacitytest.New("bottleneck").Bottleneck())
	l := a.Load("hasher-bench/c50")
	var sizes []int
	for _, w := range l.Waves {
		sizes = append(sizes, w.Size)
	}
	if len(sizes) != 3 || sizes[0] != 20 || sizes[1] != 20 || sizes[2] != 10 {
		t.Errorf("hasher's waves: %v, want 20 20 10", sizes)
	}
	if w := a.Load("hasher-bench/c1").Waves; w != nil {
		t.Errorf("one client has no waves, got %v", w)
	}
	if l := a.Load("rng-bench/c50"); len(l.Waves) != 10 || l.Waves[9].Size != 5 {
		t.Errorf("rng's waves: %+v, want 10 of 5", l.Waves)
	}
	within(t, "ab's time per request (mean)", l.MeanTurnS, 50*l.LengthS/50, 1e-9)
}

// Percentiles from a histogram are those of the single requests, to its three digits.
func TestHistogramAgreesWithSamples(t *testing.T) {
	m := capacitytest.New("bench")
	m.Deploy(0, 5)
	m.Bench("rng", 50, 500)
	run := m.Finish()
	exact := capacity.Analyse(run).Loads[0].Response
	run.Loads[0].Samples = run.Loads[0].Samples[:100]
	rough := capacity.Analyse(run).Loads[0].Response
	if !exact.Exact || rough.Exact {
		t.Fatalf("exact %v, from a histogram %v", exact.Exact, rough.Exact)
	}
	for _, c := range []struct {
		what string
		a, b float64
	}{{"min", exact.MinS, rough.MinS}, {"mean", exact.MeanS, rough.MeanS}, {"p50", exact.P50S, rough.P50S}, {"p90", exact.P90S,
		rough.P90S}, {"p99", exact.P99S, rough.P99S}, {"max", exact.MaxS, rough.MaxS}} {
		within(t, c.what, c.b, c.a, .002)
	}
}

func TestOutcomes(t *testing.T) {
	objective := func(text string) capacity.Objective {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	good, bad, unknown := objective("errors == 0"), objective("errors > 0"), objective("hash_rate(nowhere) > 1")
	for _, c := range []struct {
		name       string
		objectives []capacity.Objective
		change     func(*history.Run)
		want       capacity.Outcome
		code       int
	}{
		{name: "all met", objectives: []capacity.Objective{good}, want: capacity.OutcomePass, code: 0},
		{name: "none stated", want: capacity.OutcomePass, code: 0},
		{name: "one failed", objectives: []capacity.Objective{good, bad}, want: capacity.OutcomeFail, code: 1},
		{name: "one unknown", objectives: []capacity.Objective{good, unknown}, want: capacity.OutcomeInconclusive, code: 3},
		{name: "failed and unknown", objectives: []capacity.Objective{unknown, bad}, want: capacity.OutcomeFail, code: 1},
		{name: "interrupted", objectives: []capacity.Objective{good}, change: func(r *history.Run) { r.Status = history.Interrupted },
			want: capacity.OutcomeInconclusive, code: 3},
		{name: "interrupted and failed", objectives: []capacity.Objective{bad}, change: func(r *history.Run) { r.Status = history.Interrupted },
			want: capacity.OutcomeFail, code: 1},
		{name: "generator invalid", objectives: []capacity.Objective{good, bad},
			change: func(r *history.Run) { r.Loads[0].Closing.Invalid = []string{"lag"} }, want: capacity.OutcomeInvalid, code: 3},
		{name: "load cut off", objectives: []capacity.Objective{good}, change: func(r *history.Run) { r.Loads[0].Closing = nil },
			want: capacity.OutcomeInconclusive, code: 3},
		{name: "readings missing", objectives: []capacity.Objective{good}, change: func(r *history.Run) {
			var kept []history.Reading
			for _, v := range r.Readings {
				if v.Service != "worker" || v.At < 3*time.Second || v.At > 8*time.Second {
					kept = append(kept, v)
				}
			}
			r.Readings = kept
		}, want: capacity.OutcomeInconclusive, code: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := capacitytest.New("outcomes")
			m.Deploy(2, 1)
			m.Measure("w", time.Second, 8*time.Second)
			m.Bench("rng", 1, 5)
			run := m.Finish()
			if c.change != nil {
				c.change(run)
			}
			a := capacity.Analyse(run, c.objectives...)
			if a.Overall.Outcome != c.want || a.Overall.Outcome.ExitCode() != c.code {
				t.Errorf("%s (%d), want %s (%d): %s", a.Overall.Outcome, a.Overall.Outcome.ExitCode(), c.want, c.code, a.Overall.Why)
			}
			if !strings.HasSuffix(a.Overall.Why, ".") {
				t.Errorf("no sentence: %q", a.Overall.Why)
			}
		})
	}
}

// What an image's tag sets is in force as if the environment said it.
func TestImageTag(t *testing.T) {
	m := capacitytest.New("tag")
	m.Think = 10 * time.Millisecond
	m.Deploy(10, 5)
	m.Measure("w", 2*time.Second, 8*time.Second)
	run := m.Finish()
	image := func(name string) capacity.Analysis {
		for i := range run.Events {
			e := &run.Events[i]
			if p, ok := e.Payload.(event.ServiceDeployed); ok && e.Service == "worker" {
				delete(p.Environment, "COIN_THINK")
				p.Image = name
				e.Payload = p
			}
		}
		return capacity.Measure(run)
	}
	a := image("127.0.0.1:5000/coinbench/worker:v0.01")
	if c := a.Window("w").Config; c.ThinkS != .01 || len(a.Validity.Warnings) > 0 {
		t.Errorf("think %v s, warnings %q", c.ThinkS, a.Validity.Warnings)
	}
	a = image("coinbench/worker:v0.1")
	if w := strings.Join(a.Validity.Warnings, "; "); !strings.Contains(w, "more than the settings allow") {
		t.Errorf("47 hashes/s where the settings allow 33: warnings %q", w)
	}
}

// A load of somebody else is no part of the workers' loop, and what it occupies is not there for them.
func TestForeignLoadIsNotTheWorkers(t *testing.T) {
	b := capacity.NewBounds("measured", "worker", 10, .1, 0, []capacity.Demand{
		{Service: "rng", DemandS: .1, Replicas: 5, Slots: 5, ForeignS: 2},
		{Service: "hasher", DemandS: .1, Replicas: 1, Slots: 20, IntakeS: .04},
	})
	if b.Limit != "hasher" || b.UpperPerS != 25 {
		t.Errorf("limit %s at %v, want hasher at 25: it takes 40 ms to take a request in", b.Limit, b.UpperPerS)
	}
	if b = b.With("hasher", 2); b.Limit != "worker" && b.Limit != "rng" || *b.Demands[0].BoundPerS != 30 {
		t.Errorf("limit %s, rng %v, want 30: two of its slots are taken", b.Limit, *b.Demands[0].BoundPerS)
	}
}
