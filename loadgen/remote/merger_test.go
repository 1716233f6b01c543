package remote

import (
	"context"
	"errors"
	"fmt"
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

// second is an interval of one copy with a number of requests, and what they took.
func second(n, requests int, random *rand.Rand) (history.Interval, []time.Duration) {
	i := history.Interval{At: time.Duration(n) * time.Second, Length: time.Second, Due: int64(requests), OK: int64(requests),
		Replicas: map[string]int64{"rng.1": int64(requests)}, Response: history.NewHistogram(), Service: history.NewHistogram(),
		Lag: history.NewHistogram()}
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

// A generator of several that is lost costs its share: what it told of is in the record, and the rest of its share is named as missing.
// Of a closed load, and where none is left, the record is invalid.
func TestALostGeneratorCostsItsShare(t *testing.T) {
	open := workload() // 2000/s for 3 s
	closed := open
	closed.Schedule, closed.Clients = "", 40
	for _, row := range []struct {
		name     string
		w        loadgen.Workload
		copies   int
		evicted  bool // it still says its end
		invalid  bool
		due      int64
		missing  int64
		interval int
	}{
		{name: "open", w: open, copies: 4, due: 3*1500 + 2*500, missing: 500, interval: 3},
		{name: "open, told to stop", w: open, copies: 4, evicted: true, due: 3*1500 + 2*500, missing: 500, interval: 3},
		{name: "closed", w: closed, copies: 4, due: 3*1500 + 2*500, invalid: true, interval: 3},
		{name: "one of one", w: open, copies: 1, due: 4000, invalid: true, interval: 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			each := 2000 / row.copies
			play := func(_ context.Context, job Job) error {
				lost := row.copies // the last
				senders := make([]*Sender, row.copies)
				for i := range senders {
					senders[i] = NewSender(func(m []byte) error { job.Message(i+1, fmt.Sprintf("node%d", i+1), m); return nil }, 0, 0)
				}
				for n := range 3 {
					for i, s := range senders {
						if i+1 == lost && n == 2 {
							if row.evicted {
								_ = s.End(history.LoadEndRecord{End: 2 * time.Second, Due: int64(2 * each), OK: int64(2 * each)})
							}
							job.Lost(lost, fmt.Sprintf("on node%d: its node is down", lost))
							continue
						}
						second, _ := second(n, each, random)
						if err := s.Interval(second); err != nil {
							return err
						}
					}
				}
				for _, s := range senders[:lost-1] {
					if err := s.End(history.LoadEndRecord{End: 3 * time.Second, Ceased: 3 * time.Second, Due: int64(3 * each),
						OK: int64(3 * each)}); err != nil {
						return err
					}
				}
				return nil
			}
			var rec keptRecord
			end, err := generators(play, row.copies)(t.Context(), row.w, time.Now(), &rec)
			if err != nil {
				t.Fatal(err)
			}
			var due int64
			for _, i := range rec.intervals {
				due += i.Due
			}
			if due != row.due || end.Due != row.due || end.OK != row.due || end.Missing != row.missing || len(rec.intervals) != row.interval {
				t.Errorf("%d requests in %d intervals; the end is %+v", due, len(rec.intervals), end)
			}
			texts := end.Warnings
			if row.invalid {
				texts = end.Invalid
			}
			want := fmt.Sprintf("load generator %d of %d was lost on node%d: its node is down", row.copies, row.copies, row.copies)
			if len(end.Invalid)+len(end.Warnings) != 1 || len(texts) != 1 || !strings.HasPrefix(texts[0], want) {
				t.Errorf("invalid %q, warnings %q", end.Invalid, end.Warnings)
			}
		})
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
