package reports_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/reports"
)

// played is a load of answers that took the given milliseconds, one after the other, each 1 ms to connect.
func played(ms ...int) reports.PlayedLoad {
	l := reports.PlayedLoad{
		Spec: history.LoadSpec{Name: "bench", Method: "GET", URL: "http://127.0.0.1:8001/10", Closed: true, Clients: 2, Reuse: "kept",
			Begin: time.Second},
		Errors: map[history.Class]string{}, Kept: new(reports.ABRequests),
	}
	l.Total.Merge(history.Interval{At: time.Second})
	l.Total.Failures = map[history.Class]int64{}
	at := time.Second
	for i, n := range ms {
		d := time.Duration(n) * time.Millisecond
		l.Kept.Add(history.Sample{Seq: int64(i), Due: at, Sent: at, Connect: time.Millisecond, First: at + d - time.Millisecond, Done: at + d,
			Status: 200, Bytes: 32})
		at += d
		l.Total.Due++
		l.Total.OK++
		l.Total.Bytes += 32
		_ = l.Total.Response.RecordValue(int64(d))
		_ = l.Total.Service.RecordValue(int64(d))
		_ = l.Total.Lag.RecordValue(0)
	}
	l.Total.MaxGap = 42 * time.Millisecond
	l.End = history.LoadEndRecord{End: at + 5*time.Millisecond, Due: l.Total.Due, OK: l.Total.OK}
	return l
}

func (f failure) add(l *reports.PlayedLoad) {
	l.Total.Due++
	l.Total.Failures[f.class]++
	l.Errors[f.class] = f.err
	at := l.End.End
	l.Kept.Add(history.Sample{Seq: l.Total.Due, Due: at, Sent: at, First: at, Done: at + time.Millisecond, Class: f.class, Bytes: f.bytes,
		Status: f.status, Error: f.err})
}

type failure struct {
	class  history.Class
	err    string
	bytes  int64
	status int
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestABSummary(t *testing.T) {
	// 100 answers of 1, 2, ... 100 ms in another order.
	var ms []int
	for i := range 100 {
		ms = append(ms, (i*37)%100+1)
	}
	s := reports.NewABSummary(played(ms...), reports.ABOptions{})
	if s.Complete != 100 || s.Failed != 0 || !s.Whole || s.DocumentLength != 32 {
		t.Errorf("%+v", s)
	}
	if !near(s.TimeTakenS, 5.05) || !near(s.PerS, 100/5.05) || !near(s.MeanTurnS, 2*5.05/100) || !near(s.MeanAcrossS, 0.0505) {
		t.Errorf("taken %v, %v/s, %v and %v per request", s.TimeTakenS, s.PerS, s.MeanTurnS, s.MeanAcrossS)
	}
	for i, want := range []float64{51, 67, 76, 81, 91, 96, 99, 100, 100} { // the value of rank p, counted from 0
		if got := s.Percentiles[i]; !near(got.S*1000, want) {
			t.Errorf("%d %%: %v ms, want %v", got.Percent, got.S*1000, want)
		}
	}
	total := s.Rows[3]
	if total.Name != "Total" || !near(total.MinS, .001) || !near(total.MeanS, .0505) || !near(total.MedS, .051) || !near(total.MaxS, .1) ||
		math.Abs(total.SDS-0.029011) > 1e-6 {
		t.Errorf("%+v", total)
	}
	if c, p, w := s.Rows[0], s.Rows[1], s.Rows[2]; !near(c.MeanS, .001) || !near(p.MaxS, .099) || !near(w.MaxS, .098) {
		t.Errorf("connect %+v, processing %+v, waiting %+v", c, p, w)
	}
	// Of an odd count the median is the mean of the middle one and the next above.
	if odd := reports.NewABSummary(played(1, 2, 3, 7, 9), reports.ABOptions{}).Rows[3]; !near(odd.MedS, .005) {
		t.Errorf("median of five: %v", odd.MedS)
	}
	if one := reports.NewABSummary(played(8), reports.ABOptions{}).Rows[3]; !near(one.MedS, .008) || one.SDS != 0 {
		t.Errorf("one request: %+v", one)
	}
}

func TestABFailures(t *testing.T) {
	l := played(10, 10, 10)
	failure{history.UnexpectedStatus, "", 7, 500}.add(&l)
	failure{history.Refused, "connection refused", 0, 0}.add(&l)
	failure{history.HeaderTimeout, "", 0, 0}.add(&l)
	failure{history.Cancelled, "", 0, 0}.add(&l)
	s := reports.NewABSummary(l, reports.ABOptions{})
	if s.Complete != 4 || s.Connect != 1 || s.Receive != 1 || s.Length != 1 || s.Non2xx != 1 || s.Failed != 3 {
		t.Errorf("%+v", s)
	}
	if s := reports.NewABSummary(l, reports.ABOptions{VariableLength: true}); s.Length != 0 || s.Failed != 2 {
		t.Errorf("with -l: %+v", s)
	}
	var none reports.PlayedLoad
	if s := reports.NewABSummary(none, reports.ABOptions{}); s.Complete != 0 || len(s.Rows) != 0 || s.PerS != 0 {
		t.Errorf("of nothing: %+v", s)
	}
}

// Where not every request was kept, the percentiles are those of the histogram: within its three digits the same.
func TestABFromHistogram(t *testing.T) {
	var ms []int
	for i := range 1000 {
		ms = append(ms, i+1)
	}
	whole := played(ms...)
	part := whole
	part.Kept = played(ms[:10]...).Kept
	a, b := reports.NewABSummary(whole, reports.ABOptions{}), reports.NewABSummary(part, reports.ABOptions{})
	if !a.Whole || b.Whole || b.Kept != 10 {
		t.Errorf("whole %v and %v, %d kept", a.Whole, b.Whole, b.Kept)
	}
	for i := range a.Percentiles {
		if x, y := a.Percentiles[i].S, b.Percentiles[i].S; math.Abs(x-y) > .001*x {
			t.Errorf("%d %%: %v and %v", a.Percentiles[i].Percent, x, y)
		}
	}
}

// golden compares with testdata/<name>.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (write it with -update):\n%s", path, got)
	}
}

func printed(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestABText(t *testing.T) {
	l := played(10, 20, 30, 40)
	failure{history.Refused, "connection refused", 0, 0}.add(&l)
	l.Total.Replicas = map[string]int64{"rng.1#1": 3, "rng.2#1": 1}
	text := printed(t, func(b *bytes.Buffer) error { return reports.ABText(b, l, reports.ABOptions{}, reports.TextOptions{}) })
	golden(t, "ab.txt", text)
	inOrder(t, "ab's summary", text, "Concurrency Level:      2", "Complete requests:      4", "Failed requests:        1", "(Connect: 1,",
		"Requests per second:    40.00", "Time per request:       50.000 [ms] (mean)", "Connection Times (ms)", "Total:", " 100%     40.00 "+
			"(longest request)",
		"What ab does not say", "longest time without a success: 42.0 ms", "in flight at the end: "+
			"0", "response", "service", "refused", "connection refused", "rng.1#1", "75.0 %")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Time per request") && !strings.Contains(line, "# ") {
			t.Errorf("not explained: %s", line)
		}
	}
}

func TestLoadText(t *testing.T) {
	l := played(10, 20, 30, 40)
	l.Spec.Closed, l.Spec.Clients, l.Spec.Schedule, l.Spec.Duration, l.Spec.Connections = false, 0, "500/s", 100*time.Millisecond, 10
	failure{history.ResetInBody, "connection reset by peer", 5, 200}.add(&l)
	for range 3 {
		failure{history.Dropped, "", 0, 0}.add(&l)
	}
	l.End.Due, l.End.Failed = l.Total.Due, 4
	text := printed(t, func(b *bytes.Buffer) error { return reports.LoadText(b, l, reports.TextOptions{}) })
	golden(t, "load.txt", text)
	inOrder(t, "the report of a load", text, "VALID", "500/s for 100 ms", "offered", "8", "started", "5", "completed", "4", "missed", "3",
		"due 8 = ok 4 + failures 1 + dropped 3", "response", "service", "lag", "reset in body", "12.5 %", "connection reset by "+
			"peer", "dropped", "37.5 %")

	l.End.Invalid = []string{"the generator sent late"}
	text = printed(t, func(b *bytes.Buffer) error { return reports.LoadText(b, l, reports.TextOptions{}) })
	if !strings.HasPrefix(text, "INVALID  the numbers must not be used: the generator sent late") || strings.Contains(text, "\nVALID") {
		t.Errorf("what is invalid is not said first:\n%s", text)
	}
	if text := printed(t, func(b *bytes.Buffer) error {
		return reports.LoadText(b, reports.PlayedLoad{},
			reports.TextOptions{})
	}); !strings.Contains(text, "due 0 = ok 0") || !strings.HasPrefix(text, "NOTHING ANSWERED") {
		t.Errorf("of nothing:\n%s", text)
	}
}

func TestSearchText(t *testing.T) {
	s := reports.Searched{URL: "http://127.0.0.1:8001/", Objectives: "p99<200ms", Level: 30.2, Above: 30.7, Confidence: .9, Tested: 2,
		Curve: []reports.SearchedLevel{{Level: 16, Blocks: 2, Met: 2, PerS: 16, Total: played(100, 100).Total},
			{Level: 30.7, Verdict: "fails", Blocks: 3, Met: 1, PerS: 30, Total: played(100, 300).Total, Why: "p99<200ms: it is 300ms"}}}
	text := printed(t, func(b *bytes.Buffer) error { return reports.SearchText(b, s, reports.TextOptions{}) })
	golden(t, "search.txt", text)
	inOrder(t, "a search", text, "30.2/s meets p99<200ms", "30.7/s does not", "90 %", "16/s", "2 of 2", "30.7/s", "fails", "1 of 3",
		"it is 300ms")
	for _, c := range []struct {
		s    reports.Searched
		want string
	}{
		{reports.Searched{Stopped: "the objectives are not met even at 1"}, "No answer"},
		{reports.Searched{Level: 8, Clients: true, Confidence: .9, Stopped: "the search was interrupted"}, "At least 8 clients"},
		{reports.Searched{Above: 1, Clients: true, Confidence: .9, Tested: 1, Stopped: "the objectives are not met even at 1"},
			"No level was found that meets"},
		{reports.Searched{Level: 1, Above: 2, Clients: true, Confidence: .9}, "1 client meets"},
	} {
		if got := c.s.Answer(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
