package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/combin"
	"pgregory.net/rapid"

	"coinbench/history"
	"coinbench/history/event"
)

// Clopper and Pearson's bound, against published values and its own definition.
func TestAvailabilityBound(t *testing.T) {
	for _, c := range []struct {
		n, failed int64
		want      float64 // upper bound of the probability of failure, one-sided 95 %
	}{
		{10, 0, 0.25887},  // 1 - 0.05^(1/10)
		{10, 1, 0.39416},  // Beta(2, 9) at 0.95
		{100, 0, 0.02951}, // 1 - 0.05^(1/100)
		{100, 5, 0.10225}, // Beta(6, 95) at 0.95
		{50000, 0, 5.9913e-5},
		{7, 7, 1},
	} {
		a := NewAvailability(c.n, c.failed)
		if got := 1 - a.AtLeast; math.Abs(got-c.want) > 1e-4*c.want+5e-6*math.Min(1, c.want*10) {
			t.Errorf("%d of %d: %.6g, want %.6g", c.failed, c.n, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 2000).Draw(t, "n")
		k := rapid.Int64Range(0, n).Draw(t, "failed")
		a := NewAvailability(n, k)
		if a.AtLeast > a.Share || a.AtLeast < 0 {
			t.Fatalf("%d of %d: at least %g of a share of %g", k, n, a.AtLeast, a.Share)
		}
		if p := 1 - a.AtLeast; k < n { // k failures or fewer have the probability 5 % at the bound
			sum := 0.0
			for i := int64(0); i <= k; i++ {
				sum += math.Exp(combin.LogGeneralizedBinomial(float64(n), float64(i)) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
			}
			if math.Abs(sum-.05) > 1e-6 {
				t.Fatalf("%d of %d: P = %g at the bound", k, n, sum)
			}
		}
	})
	if NewAvailability(2995, 0).AtLeast < .999 || NewAvailability(2994, 0).AtLeast >= .999 { // ln .05 / ln .999
		t.Error("99.9 % is not proved by 2995 requests without a failure, or by fewer")
	}
	if a := NewAvailability(0, 0); a.AtLeast != 0 {
		t.Errorf("no request proves %g", a.AtLeast)
	}
}

// A trial is a rolling update of some replicas at random times, with one request that fails at a known instant in a known replica.
type trial struct {
	run   *history.Run
	task  string
	event event.Kind
	class history.Class
}

func newTrial(seed uint64, witness string) trial {
	random := rand.New(rand.NewPCG(seed, 5))
	run := &history.Run{}
	at := time.Second
	emit := func(task string, p event.Payload) {
		at += time.Duration(1+random.IntN(40)) * time.Millisecond
		run.Events = append(run.Events, history.Event{At: at, Step: 1, Service: "rng", Task: task, Payload: p})
	}
	n := 2 + random.IntN(6)
	for slot := 1; slot <= n; slot++ {
		emit(fmt.Sprintf("rng.%d#1", slot), event.TaskStarted{Version: "v1"})
		emit(fmt.Sprintf("rng.%d#1", slot), event.TaskJoined{})
	}
	run.Events = append(run.Events, history.Event{At: at, Step: 2, Service: "rng",
		Payload: event.StepBegin{Verb: "update", Disturbance: "rng"}})
	emit("", event.RolloutBegin{})
	victim := 1 + random.IntN(n)
	tr := trial{run: run}
	var sent, done time.Duration
	fail := func(slot, generation int, after event.Payload, class history.Class) {
		if slot != victim || tr.task != "" || random.IntN(2) == 0 && after != (event.TaskJoined{}) {
			return
		}
		tr.task, tr.event, tr.class = fmt.Sprintf("rng.%d#%d", slot, generation), after.Kind(), class
		sent = at - time.Duration(random.IntN(3))*time.Millisecond
		done = at + time.Duration(1+random.IntN(900))*time.Microsecond
		at = done
		if witness == "balancer" {
			run.Events = append(run.Events, history.Event{At: done + time.Duration(random.IntN(100))*time.Microsecond,
				Payload: event.ConnectionFailed{}, Service: "rng", Task: tr.task})
			at += 200 * time.Microsecond
		}
	}
	for slot := 1; slot <= n; slot++ {
		old, young := fmt.Sprintf("rng.%d#1", slot), fmt.Sprintf("rng.%d#2", slot)
		emit(old, event.TaskLeft{})
		fail(slot, 1, event.TaskLeft{}, history.ResetBeforeByte)
		emit(old, event.TaskStopping{})
		fail(slot, 1, event.TaskStopping{}, history.ResetInBody)
		emit(old, event.TaskGone{})
		emit(young, event.TaskStarted{Version: "v2"})
		emit(young, event.TaskJoined{})
		fail(slot, 2, event.TaskJoined{}, history.Refused)
	}
	emit("", event.RolloutEnd{Outcome: event.Completed})
	run.Events = append(run.Events, history.Event{At: at + time.Millisecond, Payload: event.StepEnd{}, Step: 2})
	run.End = at + 2*time.Second
	s := history.Sample{Seq: 100000, Due: sent, Sent: sent, Done: done, Class: tr.class, Error: "injected"}
	if witness == "answer" {
		s.Class, s.Status, s.Replica = history.UnexpectedStatus, 500, fmt.Sprintf("rng.%d", victim)
		tr.class = s.Class
		s.Version = "v" + tr.task[len(tr.task)-1:]
	}
	load := history.Load{LoadSpec: history.LoadSpec{Name: "open", Service: "rng", Begin: 900 * time.Millisecond, Schedule: "1000/s"},
		Closing: &history.LoadEndRecord{End: run.End}}
	total := history.Interval{At: load.Begin, Length: run.End, Response: history.NewHistogram(), Service: history.NewHistogram(),
		Lag: history.NewHistogram(), Failures: map[history.Class]int64{tr.class: 1}}
	for x := load.Begin; x < run.End; x += time.Millisecond {
		load.Samples = append(load.Samples, history.Sample{Seq: total.OK, Due: x, Sent: x, Done: x + time.Millisecond})
		total.OK++
	}
	total.Due = total.OK + 1
	load.Samples = append(load.Samples, s)
	load.Intervals = []history.Interval{total}
	run.Loads = []history.Load{load}
	return tr
}

// A failed request that was injected at a known instant in a known replica is attributed to it, and to what had happened to it: in every
// trial, whichever of the three witnesses there is.
func TestFailuresArePutDownToTheirCause(t *testing.T) {
	for _, witness := range []string{"answer", "balancer", "lives"} {
		right := 0
		for seed := range uint64(100) {
			tr := newTrial(seed, witness)
			a := Analyse(tr.run)
			if len(a.Rollouts) != 1 || len(a.Rollouts[0].Loads) != 1 || len(a.Rollouts[0].Loads[0].Failures) != 1 {
				t.Fatalf("%s, seed %d: %+v", witness, seed, a.Rollouts)
			}
			g := a.Rollouts[0].Loads[0].Failures[0]
			if g.Task == tr.task && g.Event == tr.event && g.Class == tr.class && g.Inferred == (witness == "lives") {
				right++
			} else {
				t.Logf("%s, seed %d: put down to %s (%s), is %s after %s", witness, seed, g.Task, g.Text, tr.task, tr.event)
			}
		}
		if right != 100 {
			t.Errorf("by the %s: %d of 100 trials", witness, right)
		}
	}
}

func at(s float64, task string, p event.Payload) history.Event {
	return history.Event{At: time.Duration(s * 1e9), Step: 2, Service: "rng", Task: task, Payload: p}
}

// replaced is a run in which both replicas are replaced one after the other, each away for a second, then with more events.
func replaced(more ...history.Event) *history.Run {
	events := []history.Event{
		at(0, "rng.1#1", event.TaskStarted{Version: "v1"}), at(0, "rng.1#1", event.TaskJoined{}),
		at(0, "rng.2#1", event.TaskStarted{Version: "v1"}), at(0, "rng.2#1", event.TaskJoined{}),
		at(10, "", event.StepBegin{Verb: "update", Disturbance: "rng"}),
		at(10, "", event.RolloutBegin{Strategy: "rolling"}),
		at(10, "rng.1#1", event.TaskLeft{}), at(10.5, "rng.1#1", event.TaskGone{}),
		at(10.5, "rng.1#2", event.TaskStarted{Version: "v2"}), at(11, "rng.1#2", event.TaskJoined{}),
		at(12, "rng.2#1", event.TaskLeft{}), at(12.5, "rng.2#1", event.TaskGone{}),
		at(12.5, "rng.2#2", event.TaskStarted{Version: "v2"}), at(13, "rng.2#2", event.TaskJoined{}),
	}
	events = append(events, more...)
	events = append(events, at(20, "", event.StepEnd{}))
	slices.SortStableFunc(events, func(a, b history.Event) int { return int(a.At - b.At) })
	return &history.Run{Events: events, End: 30 * time.Second, Status: history.Finished}
}

func TestRolloutRecord(t *testing.T) {
	a := Analyse(replaced(at(18, "", event.RolloutEnd{Outcome: event.Completed})))
	r := a.Disturbance("rng")
	if r == nil || r.State != "completed" || r.Replicas != 2 || r.Replaced != 2 || r.LeastServing != 1 {
		t.Fatalf("%+v", r)
	}
	if r.DurationS == nil || *r.DurationS != 8 || math.Abs(r.MixedS-1) > 1e-9 { // 11 to 12 s
		t.Errorf("took %v s, %g s of them mixed; want 8 and 1", *r.DurationS, r.MixedS)
	}
	if r.ExtraReplicaS != 0 {
		t.Errorf("%g replica-seconds beyond two", r.ExtraReplicaS)
	}
	if len(a.Objectives) != 0 {
		t.Errorf("judged %v", a.Objectives)
	}
}

// A rollout that did not complete fails the run, whatever the engine says of it afterwards, unless an objective expects it.
func TestRolledBackIsAFailure(t *testing.T) {
	run := replaced(at(14, "rng.2#2", event.TaskUnhealthy{Error: "503"}), at(14.5, "", event.RolloutBegin{Rollback: true}),
		at(18, "", event.RolloutEnd{Outcome: event.Completed}))
	a := Analyse(run)
	if a.Overall.Outcome != OutcomeFail || len(a.Objectives) != 1 || a.Objectives[0].Result != Fail {
		t.Errorf("%v %v", a.Overall, a.Objectives)
	}
	b := a.Disturbance("rng").Back
	if b == nil || *b.DetectedS != 14 || *b.TriggeredS != 14.5 || *b.AllOldS != 18 || b.FirstBadS != nil {
		t.Errorf("the rollback's parts are %+v", b)
	}
	o, err := ParseObjective("rollout(rng) == rolled_back")
	if err != nil {
		t.Fatal(err)
	}
	if a := Analyse(run, o); len(a.Objectives) != 1 || a.Objectives[0].Result != Pass {
		t.Errorf("expected, and judged %v", a.Objectives)
	}
}

// A switch that takes microseconds is no dip; an eviction that takes a second is one.
func TestSwitchIsNoDip(t *testing.T) {
	run := replaced()
	run.Events = slices.DeleteFunc(run.Events, func(e history.Event) bool { return e.At > 10*time.Second && !e.Is(event.StepEnd{}) })
	run.Events = append(run.Events, at(11, "rng.1#2", event.TaskStarted{Version: "v2"}), at(11, "rng.2#2", event.TaskStarted{Version: "v2"}))
	run.Events = slices.DeleteFunc(run.Events, func(e history.Event) bool { return e.Is(event.TaskLeft{}) })
	for i, slot := range []string{"1", "2"} {
		x := 12 + float64(i)*1e-5
		run.Events = append(run.Events, at(x, "rng."+slot+"#1", event.TaskLeft{}), at(x+5e-6, "rng."+slot+"#2", event.TaskJoined{}),
			at(13, "rng."+slot+"#1", event.TaskGone{}))
	}
	slices.SortStableFunc(run.Events, func(a, b history.Event) int { return int(a.At - b.At) })
	r := Analyse(run).Rollouts[0]
	if r.LeastServing != 2 || r.MixedS > 1e-4 || math.Abs(r.ExtraReplicaS-4) > 1e-9 { // two more from 11 to 13 s
		t.Errorf("least %d, mixed %g s, extra %g replica-seconds", r.LeastServing, r.MixedS, r.ExtraReplicaS)
	}
}

func TestTooFewRequestsAreInconclusive(t *testing.T) {
	tr := newTrial(1, "lives")
	l := &tr.run.Loads[0]
	l.Samples = slices.DeleteFunc(l.Samples, func(s history.Sample) bool { return s.Class == history.OK && s.Seq%100 != 0 })
	n := int64(len(l.Samples))
	l.Intervals[0].Due, l.Intervals[0].OK = n, n-1
	tr.run.Status = history.Finished
	if a := Analyse(tr.run); a.Overall.Outcome != OutcomeInconclusive {
		t.Errorf("%v with %d requests for %d tasks", a.Overall, a.Rollouts[0].Loads[0].Requests, a.Rollouts[0].Replaced)
	}

	l.ObserveOnly = true // it is shown, and judges nothing
	a := Analyse(tr.run)
	if len(a.Rollouts[0].Loads) != 1 || a.Rollouts[0].covered() != "" {
		t.Errorf("%d loads are shown; %s", len(a.Rollouts[0].Loads), a.Rollouts[0].covered())
	}
	lost, err := ParseObjective("lost_requests(" + a.Rollouts[0].Name + ") == 0")
	if err != nil {
		t.Fatal(err)
	}
	if v := lost.Judge(&a); v.Result != Unknown {
		t.Errorf("%s %s of a load that observes only", v.Result, v.Reason)
	}
}

// Two readings at one instant, as where an event divides a load's second at its end, leave the error a number.
func TestReadingsAtOneInstant(t *testing.T) {
	at, count := []float64{0}, []float64{0}
	for k := 1; k <= 60; k++ {
		at, count = append(at, float64(k)), append(count, float64(10*k+k%3))
	}
	plain := slowEstimate(10, 60, at, count, .1, 0)
	at, count = slices.Insert(at, 30, at[30]), slices.Insert(count, 30, count[30])
	twice := slowEstimate(10, 60, at, count, .1, 0)
	if plain.StdErr == nil || twice.StdErr == nil || math.Abs(*twice.StdErr-*plain.StdErr) > 1e-9 {
		t.Errorf("%v and %v", plain.StdErr, twice.StdErr)
	}
}
