package remote

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/loadgen"
)

// inside plays every copy by a function, one message of each in turn, as a log would mix them.
type inside struct {
	play func(copy int, s *Sender) error
	lost string // why the copy drop was lost; "": it was not
	drop int    // copy whose last messages do not arrive
}

func (j inside) run(_ context.Context, job Job) error {
	queues := make([][][]byte, len(job.Work))
	for i := range job.Work {
		s := NewSender(func(m []byte) error { queues[i] = append(queues[i], m); return nil }, 0, 0)
		if err := j.play(i+1, s); err != nil {
			return err
		}
		if i+1 == j.drop {
			queues[i] = queues[i][:len(queues[i])/2]
		}
	}
	for more := true; more; {
		more = false
		for i := range queues {
			if len(queues[i]) > 0 {
				job.Message(i+1, []string{"node1", "node2"}[i%2], queues[i][0])
				if queues[i], more = queues[i][1:], true; i+1 == j.drop && len(queues[i]) == 0 {
					job.Lost(j.drop, j.lost)
				}
			}
		}
	}
	return nil
}

// kept is a loadgen.Recorder in memory.
type keptRecord struct {
	intervals []history.Interval
	samples   []history.Sample
}

func (k *keptRecord) Interval(i history.Interval) error {
	k.intervals = append(k.intervals, i)
	return nil
}
func (k *keptRecord) Sample(s history.Sample) error { k.samples = append(k.samples, s); return nil }

// second is an interval of one copy with so many requests, and what they took.
func second(n, requests int, random *rand.Rand) (history.Interval, []time.Duration) {
	i := history.Interval{At: time.Duration(n) * time.Second, Length: time.Second, Due: int64(requests), OK: int64(requests),
		Replicas: map[string]int64{"rng.1": int64(requests)}, Response: history.NewHistogram(), Service: history.NewHistogram(), Lag: history.NewHistogram()}
	var all []time.Duration
	for range requests {
		d := time.Duration(random.ExpFloat64() * float64(10*time.Millisecond))
		all = append(all, d)
		_ = i.Response.RecordValue(int64(d))
	}
	return i, all
}

func workload() loadgen.Workload {
	return loadgen.Workload{Name: "x", Targets: []loadgen.Target{{URL: "http://rng:80/"}}, Schedule: "2000/s", Duration: 3 * time.Second}
}

// Two generators make one record: nothing is lost, and its percentiles are those of all the requests together.
func TestTwoGeneratorsMakeOneRecord(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	whole := history.NewHistogram()
	var requests int64
	jobs := inside{play: func(copy int, s *Sender) error {
		end := history.LoadEndRecord{}
		for n := range 2 + copy { // one goes on for a second longer
			i, all := second(n, 900+100*copy, random)
			for k, d := range all {
				_ = whole.RecordValue(int64(d))
				if err := s.Sample(history.Sample{Seq: int64(k + n*10_000)}); err != nil {
					return err
				}
			}
			requests += i.Due
			end.Due, end.OK, end.End = end.Due+i.Due, end.OK+i.OK, i.At+i.Length
			if err := s.Interval(i); err != nil {
				return err
			}
		}
		return s.End(end)
	}}
	var rec keptRecord
	end, err := generators(jobs.run, 2)(t.Context(), workload(), time.Now(), &rec)
	if err != nil {
		t.Fatal(err)
	}
	if len(end.Invalid) > 0 || end.Due != requests || end.End != 4*time.Second {
		t.Errorf("the end is %+v, want %d requests", end, requests)
	}
	merged := history.NewHistogram()
	var due int64
	for _, i := range rec.intervals {
		due += i.Due
		merged.Merge(i.Response)
	}
	if due != requests || len(rec.intervals) != 4 {
		t.Errorf("%d requests of %d in %d intervals", due, requests, len(rec.intervals))
	}
	for _, p := range []float64{0, 50, 90, 99, 99.9, 100} {
		if a, b := merged.ValueAtPercentile(p), whole.ValueAtPercentile(p); a != b {
			t.Errorf("p%g is %d, of all requests together %d", p, a, b)
		}
	}
	seen := map[int64]bool{}
	for _, s := range rec.samples {
		if seen[s.Seq] {
			t.Fatalf("two requests have the number %d", s.Seq)
		}
		seen[s.Seq] = true
	}
	if int64(len(seen)) != requests {
		t.Errorf("%d samples of %d", len(seen), requests)
	}
}

// A generator that dies makes the record invalid, with the name of its node; what has come stays.
func TestALostGeneratorMakesTheRecordInvalid(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	jobs := inside{drop: 2, lost: "on node2: its node is down", play: func(copy int, s *Sender) error {
		for n := range 4 {
			i, _ := second(n, 10, random)
			if err := s.Interval(i); err != nil {
				return err
			}
		}
		return s.End(history.LoadEndRecord{Due: 40, OK: 40})
	}}
	var rec keptRecord
	end, err := generators(jobs.run, 2)(t.Context(), workload(), time.Now(), &rec)
	if err != nil {
		t.Fatal(err)
	}
	if len(end.Invalid) != 1 || !strings.Contains(end.Invalid[0], "node2") {
		t.Errorf("invalid: %q", end.Invalid)
	}
	if len(rec.intervals) != 4 {
		t.Errorf("%d intervals stay", len(rec.intervals))
	}
}

// What cannot begin at all, or cannot be recorded, is an error.
func TestGeneratorsThatCannotPlay(t *testing.T) {
	none := errors.New("No such image")
	jobs := inside{play: func(int, *Sender) error { return none }}
	if _, err := generators(jobs.run, 2)(t.Context(), workload(), time.Now(), &keptRecord{}); !errors.Is(err, none) {
		t.Errorf("%v", err)
	}
	if _, err := generators(jobs.run, 0)(t.Context(), workload(), time.Now(), &keptRecord{}); err == nil {
		t.Error("no generators, and no error")
	}
}
