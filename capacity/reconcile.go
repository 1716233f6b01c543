package capacity

import (
	"fmt"
	"math"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// Reconciliation is the books of the run: every request for work that the last station answered to the driver must be a unit that was
// counted in the store, one that was lost by an exception, or one that is still on its way.
//
//	posts - posts of benches = counted + lost + in flight + residual
type Reconciliation struct {
	Rows      []Entry  `json:"rows"`
	Balanced  bool     `json:"balanced"` // the residual is within the tolerance
	Residual  float64  `json:"residual"`
	Tolerance float64  `json:"tolerance"` // one loop for each worker, and what tasks did after their last reading
	Why       string   `json:"why"`
	Errors    float64  `json:"driver_errors"`            // the driver's exceptions, in the whole run
	Possible  bool     `json:"possible"`                 // false: the counters that it needs were not read
	Contrary  []string `json:"contradictions,omitempty"` // pairs of rates of a window that differ by more than their errors explain
}

// Entry is one line of the books, for the whole run and for each window.
type Entry struct {
	Name          string     `json:"name"`            // run, or a window's name
	Posts         float64    `json:"posts"`           // requests for work that the last station answered
	BenchPosts    float64    `json:"bench_posts"`     // of them, by the generator
	Posted        float64    `json:"posted"`          // what the driver says it posted
	Hashes        float64    `json:"hashes"`          // loops completed
	Counted       float64    `json:"counted"`         // added to the store, by the driver's word
	Lost          float64    `json:"lost"`            //
	InFlight      float64    `json:"in_flight"`       // done, to be added with the next flush (for a window: the change)
	Residual      float64    `json:"residual"`        // posts - bench posts - counted - lost - in flight
	Stored        float64    `json:"stored"`          // the counter in the store
	StoreResidual float64    `json:"store_residual"`  // stored - counted
	Rates         []BookRate `json:"rates,omitempty"` // of a window through which everybody was there: what each side says of the hash rate
}

func reconcile(run *history.Run, s series, windows []Window) Reconciliation {
	r := Reconciliation{}
	driver, last := s.roles.Driver, s.roles.Last()
	_, method := posts(last)
	if len(s.drivers()) == 0 || len(s.of(last.Service)) == 0 {
		r.Why = fmt.Sprintf("The counters of the %s and of %s were not read.", driver.Plural, last.Service)
		return r
	}
	r.Possible = true
	total := Entry{Name: "run"}
	ended, unseen, old := 0, 0.0, 0
	for _, t := range s.tasks {
		end := t.readings[len(t.readings)-1]
		before := t.before(firstStep(run))
		grown := func(name string, labels ...string) float64 {
			return sum(end.Values, name, labels...) - sum(before.Values, name, labels...)
		}
		if t.service == driver.Service {
			r.Errors += grown(history.WorkerErrors)
			if before.Values.Len() > 0 {
				old++
			}
		}
		total.add(s.roles, t.service, grown)
		if t.service == driver.Service && (run.End-end.At).Seconds() > 2 {
			ended++
			if n := len(t.readings); n > 1 {
				before := t.readings[n-2]
				unseen += 1 + (sum(end.Values, history.Hashes)-sum(before.Values, history.Hashes))/max(.5, (end.At-before.At).Seconds())
			}
		}
	}
	for _, l := range run.Loads {
		if l.Service == last.Service && strings.EqualFold(l.Method, method) {
			total.BenchPosts += answered(l.Total())
		}
	}
	total.close()
	r.Rows = append(r.Rows, total)
	for i := range windows {
		w := &windows[i]
		e := Entry{Name: w.Name}
		for _, t := range s.tasks {
			if sp, ok := t.between(duration(w.BeginS), duration(w.EndS)); ok {
				e.add(s.roles, t.service, sp.deltaOf)
			}
		}
		e.close()
		e.Rates = w.bookRates(run, s)
		r.Rows = append(r.Rows, e)
		r.Contrary = append(r.Contrary, contradictions(w.Name, e.Rates)...)
	}
	// Readings come once a second and one after the other: what a worker does between the last station's reading and its own, and
	// after its last reading, is seen by one side only.
	workers := 0
	for _, w := range windows {
		workers = max(workers, w.workers())
	}
	r.Residual = total.Residual
	r.Tolerance = float64(max(workers, 1)+old) + math.Ceil(unseen) // loops were under way at the begin, too
	r.Balanced = math.Abs(r.Residual) <= r.Tolerance
	r.Why = fmt.Sprintf("%.0f posts answered by %s, %.0f of them to benches; %.0f %s counted, %.0f lost, %.0f in flight. The "+
		"difference is %.0f; up to %.0f come from loops under way",
		total.Posts, last.Service, total.BenchPosts, total.Counted, s.roles.Unit.Many, total.Lost, total.InFlight, total.Residual, r.Tolerance)
	if ended > 0 {
		r.Why += fmt.Sprintf(" and from what %s did after the last reading", driver.Count(ended))
	}
	r.Why += "."
	return r
}

// firstStep is when the run did its first thing.
func firstStep(run *history.Run) time.Duration {
	for _, e := range run.Events {
		if e.Is(event.StepBegin{}) {
			return e.At
		}
	}
	return 0
}

// before is the last reading before an instant; without values where there is none. Of an app that was up before the run it has what is no
// part of the run.
func (t *task) before(at time.Duration) (last history.Reading) {
	for _, r := range t.readings {
		if r.At < at {
			last = r
		}
	}
	return last
}

func answered(t history.Interval) float64 {
	n := t.OK
	for class, k := range t.Failures {
		switch class {
		case history.UnexpectedStatus, history.WrongBody, history.WrongLength, history.BodyTimeout, history.HeaderTimeout, history.NoAnswer,
			history.Cancelled:
			n += k
		}
	}
	return float64(n)
}

func (e *Entry) add(roles history.Roles, service string, value func(name string, labels ...string) float64) {
	switch service {
	case roles.Last().Service:
		label, _ := posts(roles.Last())
		e.Posts += value(history.Requests, label)
	case roles.Driver.Service:
		e.Posted += value(history.Posted)
		e.Hashes += value(history.Hashes)
		e.Counted += value(history.Counted)
		e.Lost += value(history.Lost)
		e.InFlight += value(history.Unflushed)
	case roles.Store.Service:
		e.Stored += value(history.RedisHashes)
	}
}

func (e *Entry) close() {
	e.Residual = e.Posts - e.BenchPosts - e.Counted - e.Lost - e.InFlight
	e.StoreResidual = e.Stored - e.Counted
}
