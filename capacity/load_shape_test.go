package capacity

import (
	"math"
	"testing"
	"time"

	"coinbench/history"
)

// A second in which something happened to the service has an interval for each epoch. Together they are the rate of that second.
func TestOverTimeCountsASecondOnce(t *testing.T) {
	var l history.Load
	for k := range 10 {
		parts := []int64{200}
		if k == 4 {
			parts = []int64{100, 1, 99}
		}
		for n, ok := range parts {
			i := history.Interval{At: time.Duration(k) * time.Second, Length: time.Second, Due: ok, OK: ok, Epoch: time.Duration(n)}
			for range ok {
				history.Observe(&i.Response, 20*time.Millisecond)
			}
			l.Intervals = append(l.Intervals, i)
		}
	}
	points := newLoadResult(l, Config{}).OverTime
	if len(points) != 10 {
		t.Errorf("%d points of ten seconds", len(points))
	}
	for k, p := range points {
		if p.PerS != 200 || p.LengthS != 1 || p.AtS != float64(k)+.5 || math.Abs(p.P50S-.02) > 1e-4 {
			t.Errorf("second %d: %+v", k, p)
		}
	}
}

// Requests that all take the same time are one column in the middle, on an axis that says which time that is.
func TestBinsOfOneTime(t *testing.T) {
	var h *history.Histogram
	for range 100 {
		history.Observe(&h, 2*time.Millisecond)
	}
	all := bins(h)
	for i, b := range all {
		if b.Count > 0 && (b.Count != 100 || i < len(all)/4 || i > 3*len(all)/4) {
			t.Errorf("column %d of %d: %+v", i, len(all), b)
		}
	}
	if all[0].FromS > .0017 || all[len(all)-1].ToS < .0024 {
		t.Errorf("the axis reaches from %g to %g", all[0].FromS, all[len(all)-1].ToS)
	}
}

func TestFormatSeconds(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0 ms", 1e-9: "0 ms", 4.52e-5: "45.2 µs", 9.9951e-5: "0.10 ms", .00035: "0.35 ms", .0123: "12.3 ms", .9994: "999 ms", .9996: "1.00 " +
			"s", 85.042: "85.0 s",
		119.4: "119 s", 119.6: "2 min", 165.08: "2 min 45 s", 7169: "119 min 29 s", 7200: "2 h", 86399: "24 h", -.25: "-250 ms",
	} {
		if got := FormatSeconds(s); got != want {
			t.Errorf("%g s: %q, want %q", s, got, want)
		}
	}
}

// Of a load that knows service times only these are drawn, and none is called a response time.
func TestServiceTimesAreDrawnWhereOnlyTheyAreKnown(t *testing.T) {
	l := history.Load{LoadSpec: history.LoadSpec{Name: "attack", ServiceOnly: true}}
	for k := range 3 {
		i := history.Interval{At: time.Duration(k) * time.Second, Length: time.Second, Due: 100, OK: 100}
		for range 100 {
			history.Observe(&i.Service, 20*time.Millisecond)
		}
		l.Intervals = append(l.Intervals, i)
	}
	r := newLoadResult(l, Config{})
	if r.Response != nil || len(r.OverTime) != 3 || math.Abs(r.OverTime[1].P50S-.02) > 1e-4 || len(r.Quantiles) == 0 || len(r.Histogram) == 0 {
		t.Errorf("response %v, over time %+v, %d quantiles, %d columns", r.Response, r.OverTime, len(r.Quantiles), len(r.Histogram))
	}
}

// What follows the last whole second belongs to it: a load has the same longest time everywhere, and no request is lost.
func TestOverTimeKeepsTheEnd(t *testing.T) {
	var l history.Load
	for k, length := range []time.Duration{time.Second, time.Second, time.Second, 300 * time.Millisecond} {
		i := history.Interval{At: time.Duration(k) * time.Second, Length: length}
		for n := range 20 {
			i.Due, i.OK = i.Due+1, i.OK+1
			history.Observe(&i.Response, time.Duration(10*(k+1)+n)*time.Millisecond)
		}
		if k == 3 {
			i.Due, i.Failures = i.Due+5, map[history.Class]int64{history.Cancelled: 3, history.NoAnswer: 2}
		}
		l.Intervals = append(l.Intervals, i)
	}
	r := newLoadResult(l, Config{})
	answered, failed, longest := 0.0, 0.0, 0.0
	for _, p := range r.OverTime {
		answered, failed, longest = answered+p.PerS*p.LengthS, failed+p.FailedPerS*p.LengthS, max(longest, p.MaxS)
	}
	if n := len(r.OverTime); n != 3 || math.Abs(answered-80) > 1e-9 || math.Abs(failed-2) > 1e-9 || longest != r.Response.MaxS {
		t.Errorf("%d points with %v answered and %v failed, the longest %v; want 3, 80, 2 and %v", n, answered, failed, longest, r.Response.MaxS)
	}
}

// The curve of percentiles is that of the tables, also where some requests were given up.
func TestQuantilesAreThePercentiles(t *testing.T) {
	var answered, givenUp []float64
	for i := range 400 {
		answered = append(answered, .001*float64(i+1))
	}
	for i := range 100 {
		givenUp = append(givenUp, 10+.01*float64(i))
	}
	l := latencyOf(answered, givenUp)
	for _, q := range quantiles(l) {
		want := map[float64]float64{0: l.MinS, .5: l.P50S, .75: l.P75S, .9: l.P90S, .95: l.P95S, .99: l.P99S, .999: l.MaxS}
		if s, ok := want[math.Round(1000*q.Share)/1000]; ok && q.S != s {
			t.Errorf("within %v: %v, want %v", q.Share, q.S, s)
		}
	}
	if all := quantiles(l); all[len(all)-1].S != l.MaxS || len(all) < 8 {
		t.Errorf("%+v", all)
	}
}

// A service of which a quarter hangs has its failures and its tail where its requests fell due, not where their load was ended.
func TestOverTimeShowsAHangWhereItIs(t *testing.T) {
	var l history.Load
	for k := range 10 {
		i := history.Interval{At: time.Duration(k) * time.Second, Length: time.Second}
		if k < 8 { // the load; after it, only the wait for answers
			for n := range 20 {
				if i.Due++; k < 4 || n < 15 {
					i.OK++
					history.Observe(&i.Response, 10*time.Millisecond)
				}
			}
		}
		if k == 9 {
			i.Failures = map[history.Class]int64{history.NoAnswer: 17, history.Cancelled: 3}
			for n := range 20 { // five in each second from the fourth on
				history.Observe(&i.GivenUp, 5900*time.Millisecond-time.Duration(n)*200*time.Millisecond)
			}
		}
		l.Intervals = append(l.Intervals, i)
	}
	r := newLoadResult(l, Config{})
	for k, p := range r.OverTime {
		failed, slowest := 0., .01
		if k >= 4 && k < 8 {
			failed, slowest = 5, 9.9-float64(k)
		}
		if k == 7 {
			failed = 2 // three are younger than the load's patience
		}
		if k >= 8 {
			slowest = 0
		}
		if p.FailedPerS != failed || math.Abs(p.P99S-slowest) > .01*slowest || math.Abs(p.MaxS-slowest) > .01*slowest {
			t.Errorf("second %d: %+v; want %v failed, the slowest %v", k, p, failed, slowest)
		}
	}
}
