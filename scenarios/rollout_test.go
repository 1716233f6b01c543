package scenarios

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
)

// A load in the background goes on alongside the steps that follow, and ends with the last one.
func TestLoadInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), `
name: x
steps:
  - deploy:
  - attack: {service: rng, rate: 10/s, background: true}
  - wait: 2s
  - update: {service: rng, image: "coinbench/rng:v2"}
  - wait: 3s
`, nil)
		if p.err != nil || p.run.Status != history.Finished {
			t.Fatalf("%v, %s", p.err, p.run.Status)
		}
		l := p.run.Loads[0]
		if l.Name != "rng" || l.Closing == nil || p.loads[0].Schedule != "10/s" || l.Step != 2 {
			t.Errorf("the load is %+v", l.LoadSpec)
		}
		i := slices.IndexFunc(p.run.Events, func(e history.Event) bool { return e.Is(event.LoadBegin{}) })
		j := slices.IndexFunc(p.run.Events, func(e history.Event) bool { return e.Is(event.StepBegin{}) && e.Step == 3 })
		if i < 0 || i > j {
			t.Errorf("the load begins at event %d, the next step at %d", i, j)
		}
		named := slices.ContainsFunc(p.run.Events, func(e history.Event) bool {
			begin, _ := e.Payload.(event.StepBegin)
			return e.Service == "rng" && begin.Disturbance == "rng"
		})
		if !named {
			t.Error("the update has no name in the record")
		}
	})
}

// A rollout that is rolled back does not end the run; its steps go on.
func TestRolledBackGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), "name: x\nsteps: [{deploy: }, {update: {service: rng, image: \"coinbench/rng:v2\"}}, {wait: 2s}]\n",
			func(f *witness) {
				f.fail["Update rng"] = &cluster.RolloutError{Service: "rng", Outcome: event.RolledBack, Reason: "sick"}
			})
		if p.err != nil || p.took < 2*time.Second {
			t.Errorf("ended after %s: %v", p.took, p.err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := perform(t, t.Context(), "name: x\nsteps: [{deploy: }, {update: {service: rng, image: \"coinbench/rng:v2\"}}, {wait: 2s}]\n",
			func(f *witness) {
				f.fail["Update rng"] = errors.New("no engine")
			})
		if p.err == nil || p.run.Status != history.RunFailed {
			t.Errorf("any other error: %v", p.err)
		}
	})
}

// A load that is to judge nothing does not judge a canary either.
func TestAnObserverDoesNotJudgeACanary(t *testing.T) {
	writer, err := history.Create(filepath.Join(t.TempDir(), "run"), history.Manifest{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	st := newStage(Scenario{}, Config{Cluster: newWitness(func(history.Event) {}), Writer: writer})
	for observer, want := range map[bool]int{true: 0, false: 1} {
		w := newWatch("rng", []string{"rng.1", "rng.2"}, 0, time.Second)
		st.watched(w)
		r, err := st.record("rng", loadgen.Workload{Name: "a", Targets: []loadgen.Target{{URL: "http://127.0.0.1:1"}}, Clients: 1, Requests: 1,
			ObserveOnly: observer})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Interval(history.Interval{Length: time.Second}); err != nil {
			t.Fatal(err)
		}
		if got := len(w.seconds()); got != want {
			t.Errorf("observer %v: %d seconds were seen, want %d", observer, got, want)
		}
	}
}

// What a watch makes of the record of a load: seconds that lie within it, by replica, and the failures of which no answer names one.
func TestWatch(t *testing.T) {
	w := newWatch("rng", []string{"rng.1", "rng.2"}, 10*time.Second, 3*time.Second)
	second := func(at time.Duration) history.Interval {
		i := history.Interval{At: at, Length: time.Second, Failures: map[history.Class]int64{history.Refused: 3, history.UnexpectedStatus: 2,
			history.HeaderTimeout: 1,
			history.Cancelled:     7, history.Dropped: 9}}
		history.Observe(&i.GivenUp, 4*time.Second)
		for n, name := range []string{"rng.1", "rng.2", "rng.3"} {
			p := i.Part(name, "v1")
			p.OK = int64(10 + n)
			history.Observe(&p.Response, time.Duration(n+1)*time.Second)
		}
		i.Part("rng.2", "v1").Failures = map[history.Class]int64{history.UnexpectedStatus: 2}
		return i
	}
	for _, at := range []float64{9.4, 10.4, 11.4, 12.4} { // the first and the last lie partly outside
		w.add(second(time.Duration(at * float64(time.Second))))
	}
	cells := w.seconds()
	if len(cells) != 2 {
		t.Fatalf("%d seconds; want 2", len(cells))
	}
	for _, c := range cells {
		canary, other := c.Replicas[0], c.Replicas[1]
		if canary.OK != 10 || canary.Failed != 0 || other.OK != 11 || other.Failed != 2 || c.Unanswered != 4 || math.Abs(c.WaitedS-4) > .01 ||
			canary.Response.TotalCount() != 1 || math.Abs(canary.Response.Mean()-1e9) > 1e7 {
			t.Errorf("%+v", c)
		}
	}
}

func TestRolloutFaults(t *testing.T) {
	for steps, want := range map[string]string{
		`{update: {service: rng, image: x, strategy: canary}}`: "a canary is " +
			"judged by requests",
		`{update: {service: rng, image: x, strategy: serial, delay: 1s}}`: "serial has a " +
			"parallelism and a delay of its own",
		`{update: {service: rng, image: x, strategy: bluegreen}}`: `did you mean "blue-green"?`,
		`{rollback: {service: rng}}`: "rng was not " +
			"updated before",
		`{update: {name: a, service: rng, image: x}}, {update: {name: a, service: rng, image: y}}`:                        `the rollout "a" is given twice`,
		`{slow: {service: worker, delay: 1s, for: 1s}}`:                                                                   "no client connects to worker",
		`{pause: {service: rng, replica: 2, for: 1s}}`:                                                                    "rng has no replica 2",
		`{attack: {service: rng, rate: fast, for: 1s}}`:                                                                   `rate "fast"`,
		`{attack: {service: rng, rate: 1/s}}`:                                                                             "no for is given",
		`{attack: {service: rng, rate: 1/s, background: true}}, {update: {service: rng, image: x, max_failure_ratio: 2}}`: "a ratio from 0 to 1",
		`{update: {service: rng, image: x, parallelism: -1}}`:                                                             "parallelism",
		`{update: {service: rng, image: x, monitor: -1s}}`:                                                                "monitor",
		`{update: {service: rng, image: x, max_failure_ratio: -0.1}}`:                                                     "a ratio from 0 to 1",
	} {
		_, err := Parse("x.yaml", fmt.Appendf(nil, "name: x\nsteps: [{deploy: }, %s]\n", steps), Options{App: dockercoins})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %q", steps, err, want)
		}
	}
}

// A strategy that the cluster has not is found before anything starts.
func TestStrategiesAreChecked(t *testing.T) {
	for strategy, fine := range map[string]bool{"rolling": true, "serial": true, "all-at-once": true, "batched": false, "blue-green": false} {
		s, err := Parse("x.yaml", fmt.Appendf(nil, "name: x\nsteps: [{deploy: }, {update: {service: rng, image: \"coinbench/rng:v2\", "+
			"strategy: %s}}]\n", strategy),
			Options{App: dockercoins})
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(s, struct{ cluster.Cluster }{newWitness(nil)}); (err == nil) != fine {
			t.Errorf("%s: %v", strategy, err)
		}
	}
}
