package capacity_test

import (
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/history"
)

// A load of more requests than are kept one by one has the same numbers, errors among them, whether it is in memory or was read from its
// folder.
func TestALoadThatWasReadHasTheErrorsOfTheOneThatWasWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	l := history.Load{LoadSpec: history.LoadSpec{Name: "x", Service: "rng", Schedule: "200/s", Duration: 40 * time.Second,
		Patience: time.Second}}
	end := history.LoadEndRecord{End: 40 * time.Second, Ceased: 40 * time.Second, SamplesKept: 10}
	longest := time.Duration(0)
	for at := time.Duration(0); at < end.End; at += time.Second {
		i := history.Interval{At: at, Length: time.Second}
		for n := range 200 {
			s := history.Sample{Due: at + time.Duration(n)*5*time.Millisecond}
			s.Sent = s.Due
			s.Done = s.Due + time.Duration(random.ExpFloat64()*2e7)
			if random.IntN(500) == 0 {
				s.Class, s.Done = history.HeaderTimeout, s.Due+300*time.Millisecond
			}
			longest = max(longest, s.Done-s.Due)
			i.Add(s)
		}
		end.Due, end.OK, end.Failed = end.Due+i.Due, end.OK+i.OK, end.Failed+i.Failed()
		l.Intervals = append(l.Intervals, i)
	}
	l.Closing = &end
	analyse := func(run *history.Run) capacity.LoadResult { return capacity.Analyse(run).Loads[0] }
	want := analyse(&history.Run{Loads: []history.Load{l}, Status: history.Finished})

	dir := filepath.Join(t.TempDir(), "run")
	w, err := history.Create(dir, history.Manifest{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := w.Load(l.LoadSpec)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range l.Intervals {
		if err := record.Interval(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := record.End(end, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := analyse(run)
	if !reflect.DeepEqual(got.Estimates, want.Estimates) || got.Estimates["p99"].Margin() == nil {
		t.Errorf("p99 was read as %+v, and written as %+v", got.Estimates["p99"], want.Estimates["p99"])
	}
	if !reflect.DeepEqual(got.Response, want.Response) || !reflect.DeepEqual(got.OverTime, want.OverTime) ||
		!reflect.DeepEqual(got.Histogram, want.Histogram) {
		t.Errorf("read as %+v, written as %+v", got.Response, want.Response)
	}
	if got.OverTime == nil || got.Response.GivenUp == 0 {
		t.Errorf("the load is too poor: %+v", got)
	}
	slowest := 0.0
	for _, p := range got.OverTime {
		slowest = max(slowest, p.MaxS)
	}
	if slowest != longest.Seconds() {
		t.Errorf("the slowest request took %v, want exactly %v", slowest, longest)
	}
}
