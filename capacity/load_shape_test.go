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
