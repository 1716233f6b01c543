package scenarios

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
)

// threeSlots is a load generator before a service of three slots of 100 ms: up to 30/s an answer takes 100 ms, beyond it the
// queue grows. With nobody there every request is refused.
func threeSlots(nobody bool) func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord, error) {
	return func(ctx context.Context, w loadgen.Workload, origin time.Time, rec loadgen.Recorder) (history.LoadEndRecord, error) {
		begin := time.Since(origin)
		time.Sleep(w.Duration)
		rate, _ := strconv.ParseFloat(strings.TrimSuffix(w.Schedule, "/s"), 64)
		if w.Clients > 0 {
			rate = 10 * float64(w.Clients)
		}
		var due, ok int64
		for at := time.Duration(0); at < w.Duration; at += time.Second {
			length := min(time.Second, w.Duration-at)
			n := int64(math.Ceil(rate*(at+length).Seconds())) - due
			i := history.Interval{At: begin + at, Length: length, Due: n, OK: n, Response: history.NewHistogram()}
			if nobody {
				i.OK, i.Failures = 0, map[history.Class]int64{history.Refused: n}
			}
			for k := range i.OK {
				late := max(rate/30-1, 0) * float64(due+k) / rate * 1e9
				_ = i.Response.RecordValue(int64(100*time.Millisecond + time.Duration(late)))
			}
			due, ok = due+n, ok+i.OK
			if err := rec.Interval(i); err != nil {
				return history.LoadEndRecord{}, err
			}
		}
		return history.LoadEndRecord{End: time.Since(origin), Due: due, OK: ok, Failed: due - ok}, nil
	}
}

func playSearch(t *testing.T, step string, nobody bool) (*history.Run, error) {
	t.Helper()
	s, err := Parse("test.yaml", []byte("name: x\nsteps: [{deploy: }, {search: "+step+"}]\nobjectives: [throughput(rng) >= 28]\n"),
		Options{App: dockercoins})
	if err != nil {
		t.Fatal(err)
	}
	var sink Sink
	dir := t.TempDir()
	w, err := history.Create(dir, history.Manifest{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	played := Run(t.Context(), s, Config{Cluster: newWitness(sink.Event), Sink: &sink, Writer: w, Start: time.Now(), Play: threeSlots(nobody)})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return run, played
}

func searchEnd(t *testing.T, run *history.Run) event.SearchEnd {
	t.Helper()
	for _, e := range run.Events {
		if p, ok := e.Payload.(event.SearchEnd); ok {
			return p
		}
	}
	t.Fatal("the search left no end")
	return event.SearchEnd{}
}

func TestSearchFindsTheCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, err := playSearch(t, "{service: rng, slo: 'p99<200ms,errors<0.1%'}", false)
		if err != nil {
			t.Fatal(err)
		}
		end := searchEnd(t, run)
		level := end.Level
		if !(level <= 30.0001 && end.Above > 30 && end.Above <= 1.0201*level) || end.Confidence != .9 || end.Stopped != "" ||
			end.SLO != "p99<200ms,errors<0.1%" {
			t.Errorf("the end of the search: %+v", end)
		}
		last := run.Loads[len(run.Loads)-1]
		if last.Name != "rng" || last.Step != 2 || last.Service != "rng" || last.Closing == nil || float64(last.Total().OK) < 5*level-1 {
			t.Errorf("the last load: %+v", last.LoadSpec)
		}
		if first := run.Loads[0]; first.Name != "rng/1" || first.Schedule != "1/s" {
			t.Errorf("the first load: %+v", first.LoadSpec)
		}
	})
}

func TestSearchOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, err := playSearch(t, "{service: rng, slo: p99<200ms, clients: true, most: 100}", false)
		if err != nil {
			t.Fatal(err)
		}
		if end := searchEnd(t, run); end.Level != 3 || end.Above != 4 {
			t.Errorf("%v", end)
		}
	})
}

// When not even the least level meets the objectives there is no load of that name, so objectives about it are unknown; when
// nothing answers the step fails.
func TestSearchSendsWhatItIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, err := playSearch(t, "{name: rng, service: hasher, body_bytes: 32, slo: p99<200ms, most: 8}", false)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range run.Loads {
			if l.Method != "POST" || l.Service != "hasher" || !strings.HasPrefix(l.Name, "rng") {
				t.Errorf("load %s: %s %s", l.Name, l.Method, l.Service)
			}
		}
	})
}

func TestSearchFindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, err := playSearch(t, "{service: rng, slo: p99<10ms}", false)
		if err != nil {
			t.Fatal(err)
		}
		if end := searchEnd(t, run); end.Level != 0 || !strings.Contains(end.Stopped, "not met even at 1") {
			t.Errorf("%v", end)
		}
		for _, l := range run.Loads {
			if l.Name == "rng" {
				t.Error("a load of a level that was not found")
			}
		}
		run, err = playSearch(t, "{service: rng, slo: p99<200ms}", true)
		if !errors.Is(err, loadgen.ErrNothingAnswers) || run.Status != history.RunFailed || len(run.Loads) != 1 {
			t.Errorf("%v, %s, %d loads", err, run.Status, len(run.Loads))
		}
	})
}

func TestSearchIsChecked(t *testing.T) {
	for step, want := range map[string]string{
		"{service: rng}":                                          "no slo is given",
		"{service: rng, slo: p99<fast}":                           "expected a duration",
		"{service: rng, slo: p99<1s, least: 0}":                   "greater than 0",
		"{service: rng, slo: p99<1s, least: 9, most: 8}":          "from least, 9",
		"{service: rng, slo: p99<1s, precision: 0}":               "0.0001 to 1",
		"{service: rng, slo: p99<1s, confidence: 1}":              "0.5 to 0.999",
		"{service: rng, slo: p99<1s, block: 0s}":                  "greater than 0s",
		"{service: rgn, slo: p99<1s}":                             "rgn",
		"{service: rng, slo: p99<1s, path: x}":                    "not a path",
		"{service: rng, slo: p99<1s, clients: true, most: 20000}": "10000 clients",
		"{service: rng, slo: p99<1s, body: a, body_bytes: 1}":     "one of them",
	} {
		_, err := Parse("test.yaml", []byte("name: x\nsteps: [{deploy: }, {search: "+step+"}]\n"), Options{App: dockercoins})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
}
