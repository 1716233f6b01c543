package capacity_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/capacity"
	"coinbench/history"
)

// percentiles of a distribution by their number.
func percentiles(l *capacity.Latency) map[float64]float64 {
	return map[float64]float64{50: l.P50S, 66: l.P66S, 75: l.P75S, 80: l.P80S, 90: l.P90S, 95: l.P95S, 98: l.P98S, 99: l.P99S, 99.9: l.P999S}
}

// Of ten values 1 ... 10 the median is the fifth and p90 the ninth; of 50, p99 is the last.
func TestPercentileIsTheNearestRank(t *testing.T) {
	for n := int64(1); n <= 2500; n++ {
		var v []float64
		for i := range n {
			v = append(v, float64(n-i))
		}
		l := capacity.NewLatency(v)
		for p, got := range percentiles(l) {
			tenths := int64(math.Round(10 * p))
			if want := (tenths*n + 999) / 1000; got != float64(want) || l.AtLeast(p) {
				t.Fatalf("p%v of 1 ... %d: %v, want %d", p, n, got, want)
			}
		}
		if l.MinS != 1 || l.MaxS != float64(n) || l.MeanS != float64(n+1)/2 || l.Beyond != 0 {
			t.Fatalf("of 1 ... %d: %+v", n, l)
		}
	}
	if capacity.NewLatency(nil) != nil {
		t.Error("no values have a distribution")
	}
}

// load is a record of requests that took times of which some were given up at an age; samples false: only histograms hold them.
func load(t *testing.T, answered, givenUp []time.Duration, samples bool) capacity.LoadResult {
	t.Helper()
	l := history.Load{LoadSpec: history.LoadSpec{Name: "x", Schedule: "1/s", Patience: 5 * time.Second}}
	i := history.Interval{Length: time.Hour, Failures: map[history.Class]int64{}, Response: history.NewHistogram(),
		Service: history.NewHistogram(),
		Lag:     history.NewHistogram(), GivenUp: history.NewHistogram()}
	add := func(d time.Duration, class history.Class) {
		if i.Due++; class == history.OK {
			i.OK++
			_ = i.Response.RecordValue(int64(d))
		} else {
			i.Failures[class]++
			_ = i.GivenUp.RecordValue(int64(d))
		}
		if samples {
			l.Samples = append(l.Samples, history.Sample{Done: d, Class: class})
		}
	}
	for _, d := range answered {
		add(d, history.OK)
	}
	for _, d := range givenUp {
		class := history.Cancelled
		if d > l.Patience {
			class = history.NoAnswer
		}
		add(d, class)
	}
	l.Intervals = []history.Interval{i}
	l.Closing = &history.LoadEndRecord{End: time.Hour, Due: i.Due, OK: i.OK}
	run := &history.Run{Loads: []history.Load{l}, Status: history.Finished}
	return capacity.Analyse(run).Loads[0]
}

// A distribution with requests that were given up, by redistribution to the right (Efron, 1967): each in turn passes what it
// weighs on to all that took longer.
func redistributed(answered, givenUp []float64, p float64) (value float64, atLeast bool) {
	type request struct {
		s, weight float64
		up        bool
	}
	var all []request
	for _, s := range answered {
		all = append(all, request{s, 1, false})
	}
	for _, s := range givenUp {
		all = append(all, request{s, 1, true})
	}
	slices.SortStableFunc(all, func(a, b request) int {
		if a.s < b.s {
			return -1
		} else if a.s > b.s {
			return 1
		}
		return 0
	})
	sum := 0.0
	for i := range all {
		if later := float64(len(all) - i - 1); all[i].up && later > 0 {
			for j := i + 1; j < len(all); j++ {
				all[j].weight += all[i].weight / later
			}
		} else if !all[i].up {
			sum += all[i].weight
		}
		if sum >= p/100*float64(len(all))-1e-6 {
			return all[i].s, false
		}
	}
	return all[len(all)-1].s, true
}

func TestGivenUpRequestsCountAsAtLeastTheirAge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ages := func(name string, least int) (d []time.Duration, s []float64) {
			for _, ms := range rapid.SliceOfN(rapid.IntRange(1, 9000), least, 40).Draw(rt, name) {
				d, s = append(d, time.Duration(ms)*time.Millisecond), append(s, float64(ms)/1000)
			}
			return d, s
		}
		answered, as := ages("answered", 1)
		givenUp, gs := ages("given up", 0)
		for _, samples := range []bool{true, false} {
			l := load(t, answered, givenUp, samples).Response
			if !samples { // what one bucket holds was answered first, and took the greatest time of it
				as, gs = greatest(as), greatest(gs)
			}
			for p, got := range percentiles(l) {
				want, atLeast := redistributed(as, gs, p)
				if math.Abs(got-want) > 1e-9*want || l.AtLeast(p) != atLeast {
					rt.Fatalf("samples %v: p%v is %v (at least: %v), want %v (%v)", samples, p, got, l.AtLeast(p), want, atLeast)
				}
			}
		}
	})
}

// greatest are the times, in seconds, as a histogram tells them: the longest exactly.
func greatest(times []float64) (all []float64) {
	for _, s := range times {
		h := history.NewHistogram()
		_ = h.RecordValue(int64(math.Round(s * 1e9)))
		_ = h.RecordValue(int64(history.LongestRecorded))
		all = append(all, min(capacity.HistogramLatency(h, nil).P50S, slices.Max(times)))
	}
	return all
}

// Requests that are young when a load ends say nothing of its percentiles; hung ones are the slowest.
func TestYoungRequestsDoNotShortenAndHungOnesLengthen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var answered, young []time.Duration
	for range 1000 {
		d := time.Duration(random.ExpFloat64() * float64(100*time.Millisecond))
		if end := time.Duration(random.Int64N(int64(time.Second))); end < d {
			young = append(young, end)
		} else {
			answered = append(answered, d)
		}
	}
	l := load(t, answered, young, true)
	if got := l.Response.P50S; math.Abs(got-.1*math.Ln2) > .008 {
		t.Errorf("median %.4f s, want %.4f; of the answered alone it is %.4f", got, .1*math.Ln2, capacity.NewLatency(seconds(answered)).P50S)
	}
	if l.Failed != 0 || l.LeftOut != int64(len(young)) || l.Available.Requests != int64(len(answered)) {
		t.Errorf("failed %d, left out %d of %d", l.Failed, l.LeftOut, len(young))
	}
	hung := append(young, slices.Repeat([]time.Duration{8 * time.Second}, 250)...)
	l = load(t, answered, hung, true)
	if l.Response.P90S != 8 || !l.Response.AtLeast(90) || l.Response.AtLeast(50) || l.Failed != 250 {
		t.Errorf("p90 %v, p50 %v, failed %d", l.Response.P90S, l.Response.P50S, l.Failed)
	}
}

func seconds(d []time.Duration) (s []float64) {
	for _, x := range d {
		s = append(s, x.Seconds())
	}
	return s
}

// What is only known to be exceeded is judged when it is past the objective's limit, and not before.
func TestLowerBoundIsJudgedOnlyBeyondTheLimit(t *testing.T) {
	answered := slices.Repeat([]time.Duration{100 * time.Millisecond}, 80)
	hung := slices.Repeat([]time.Duration{8 * time.Second}, 20)
	a := &capacity.Analysis{Loads: []capacity.LoadResult{load(t, answered, hung, true)}}
	for text, want := range map[string]capacity.Result{
		"p50(x) < 300ms ±0": capacity.Pass, "p99(x) < 300ms ±0": capacity.Fail, "p99(x) < 10s ±0": capacity.Unknown, "p99(x) > 1s " +
			"±0": capacity.Pass,
		"p99(x) > 9s ±0": capacity.Unknown, "p99(x) within 1s..2s ±0": capacity.Fail, "p99(x) within 7s..20s ±0": capacity.Unknown,
		"failures(x) == 20": capacity.Pass, "availability(x) >= 0.98": capacity.Fail, "errors(x) == 0": capacity.Fail,
	} {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Judge(a); v.Result != want {
			t.Errorf("%s: %s (%s), want %s", text, v.Result, v.Reason, want)
		}
	}
}

// A share of requests that is surely above that of a percentile, and never answered, decides about it; a share that may be chance does not.
func TestRequestsWithoutAnAnswerDecideAboutPercentiles(t *testing.T) {
	for _, samples := range []bool{true, false} {
		for _, c := range []struct {
			hung int // of 500 requests in 10 s, spread over the last eight
			want map[string]capacity.Result
		}{
			{100, map[string]capacity.Result{"p99(x) < 300ms": capacity.Fail, "p90(x) < 300ms": capacity.Fail, "p50(x) < 300ms": capacity.Pass,
				"p99(x) > 300ms": capacity.Pass,
				"p99(x) < 20s":   capacity.Unknown, "mean(x) < 300ms": capacity.Fail}},
			{15, map[string]capacity.Result{"p99(x) < 300ms": capacity.Fail, "p50(x) < 300ms": capacity.Pass}},
			{7, map[string]capacity.Result{"p99(x) < 300ms": capacity.Unknown, "p50(x) < 300ms": capacity.Pass}},
		} {
			a := &capacity.Analysis{Loads: []capacity.LoadResult{hanging(c.hung, samples)}}
			for text, want := range c.want {
				o, err := capacity.ParseObjective(text)
				if err != nil {
					t.Fatal(err)
				}
				if v := o.Judge(a); v.Result != want {
					t.Errorf("%d hung, samples %v: %s: %s (%s), want %s", c.hung, samples, text, v.Result, v.Reason, want)
				}
			}
		}
	}
}

// hanging is a load of 50/s for 10 s that answers within 50 us, but for some of the requests after the second second, which never are.
func hanging(hung int, samples bool) capacity.LoadResult {
	l := history.Load{LoadSpec: history.LoadSpec{Name: "x", Schedule: "50/s", Patience: 5 * time.Second}}
	end := 18 * time.Second
	for k := range 10 {
		i := history.Interval{At: time.Duration(k) * time.Second, Length: time.Second, Failures: map[history.Class]int64{}}
		for n := range 50 {
			s := history.Sample{Due: i.At + time.Duration(n)*20*time.Millisecond, Class: history.OK}
			s.Sent, s.Done = s.Due, s.Due+50*time.Microsecond
			if m := 50*(k-2) + n; k >= 2 && (m+1)*hung/400 > m*hung/400 {
				s.Class, s.Done = history.NoAnswer, end
				i.Failures[s.Class]++
				history.Observe(&i.GivenUp, s.Done-s.Due)
			} else {
				i.OK++
				history.Observe(&i.Response, s.Done-s.Due)
				history.Observe(&i.Service, s.Done-s.Sent)
			}
			i.Due++
			if samples {
				l.Samples = append(l.Samples, s)
			}
		}
		l.Intervals = append(l.Intervals, i, history.Interval{At: i.At, Length: i.Length, Epoch: i.At + i.Length}) // of a later epoch
	}
	l.Closing = &history.LoadEndRecord{End: end, Ceased: 10 * time.Second, Due: 500, OK: 500 - int64(hung)}
	return capacity.Analyse(&history.Run{Loads: []history.Load{l}, Status: history.Finished}).Loads[0]
}

func TestLoadWithoutARequestProvesNothing(t *testing.T) {
	a := &capacity.Analysis{Loads: []capacity.LoadResult{load(t, nil, nil, true)}}
	for _, text := range []string{"max_gap(x) < 1s", "availability(x) >= 0.1", "failures(x) == 0", "errors(x) == 0", "errors == 0",
		"p99(x) < 1s"} {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Judge(a); v.Result != capacity.Unknown {
			t.Errorf("%s: %s (%s)", text, v.Result, v.Reason)
		}
	}
}

// A generator that is late for a few of its requests is not taken for a slow service at the percentiles, the longest gap and the failures
// that it may have made itself; what it cannot have made stays judged.
func TestLateGeneratorIsNotTakenForTheService(t *testing.T) {
	l := history.Load{LoadSpec: history.LoadSpec{Name: "x", Schedule: "100/s", Patience: 5 * time.Second}}
	i := history.Interval{Length: 10 * time.Second, Due: 1005, OK: 1000, Failures: map[history.Class]int64{history.HeaderTimeout: 5},
		MaxGap: 820 * time.Millisecond}
	for n := range 1000 {
		late := time.Duration(0)
		if n < 5 {
			late = 800 * time.Millisecond
		}
		history.Observe(&i.Late, late)
		history.Observe(&i.Lag, late)
		history.Observe(&i.Service, 10*time.Millisecond)
		history.Observe(&i.Response, 10*time.Millisecond+late)
	}
	for range 5 {
		history.Observe(&i.GivenUp, 500*time.Millisecond)
	}
	l.Intervals = []history.Interval{i}
	l.Closing = &history.LoadEndRecord{End: 10 * time.Second, Ceased: 10 * time.Second, Due: 1005, OK: 1000}
	a := capacity.Analyse(&history.Run{Loads: []history.Load{l}, Status: history.Finished})
	for text, want := range map[string]capacity.Result{
		"p50(x) < 50ms ±0": capacity.Pass, "p99.9(x) < 50ms ±0": capacity.Unknown, "p99.9(x) < 5ms ±0": capacity.Fail, "p99.9(x) < 2s " +
			"±0": capacity.Pass, "max(x) < 50ms": capacity.Unknown,
		"max_gap(x) < 100ms": capacity.Unknown, "max_gap(x) < 10ms": capacity.Fail, "max_gap(x) < 1s": capacity.Pass,
		"failures(x) == 0": capacity.Unknown, "failures(x) < 10": capacity.Pass, "availability(x) >= " +
			"0.995": capacity.Unknown, "availability(x) >= 0.999": capacity.Fail,
	} {
		o, err := capacity.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Judge(&a); v.Result != want {
			t.Errorf("%s: %s (%s), want %s", text, v.Result, v.Reason, want)
		}
	}
}
