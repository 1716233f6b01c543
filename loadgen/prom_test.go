package loadgen

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"coinbench/history"
)

// A scrape shows the sums of all intervals, every class of failure, and histograms whose buckets are cumulative.
func TestMetrics(t *testing.T) {
	var next Sum
	m := NewMetrics(&next)
	for range 2 {
		i := history.Interval{Length: time.Second, Due: 12, OK: 10, Bytes: 320, Failures: map[history.Class]int64{history.Refused: 2},
			Replicas: map[string]int64{"rng.1#1": 10}, Response: history.NewHistogram(), Service: history.NewHistogram(), Lag: history.NewHistogram(), MaxGap: 300 * time.Millisecond}
		_ = i.Response.RecordValues(int64(3*time.Millisecond), 9)
		_ = i.Response.RecordValue(int64(200 * time.Second)) // beyond the last bucket
		if err := m.Interval(i); err != nil {
			t.Fatal(err)
		}
	}
	if next.Total.OK != 20 {
		t.Errorf("%d requests were passed on", next.Total.OK)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*dto.MetricFamily{}
	for _, f := range families {
		got[f.GetName()] = f
	}
	values := map[string]float64{}
	for _, metric := range got["coinbench_load_requests_total"].GetMetric() {
		values[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
	}
	if values["ok"] != 20 || values["refused"] != 4 || len(values) != len(history.Classes())+1 {
		t.Errorf("requests %v", values)
	}
	h := got["coinbench_load_response_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 20 || h.GetSampleSum() < 400 || h.GetSampleSum() > 401 {
		t.Errorf("response: %d of %.3f s", h.GetSampleCount(), h.GetSampleSum())
	}
	for _, b := range h.GetBucket() {
		want := uint64(0)
		if b.GetUpperBound() >= 0.005 {
			want = 18
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("up to %v s: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	if g := got["coinbench_load_longest_gap_seconds"].GetMetric()[0].GetGauge().GetValue(); g != 0.3 {
		t.Errorf("gap %v", g)
	}
	if n := len(got); n != 7 {
		t.Errorf("%d families: %v", n, got)
	}
}

// Nothing played yet is a scrape of zeros; an error of the recorder behind is passed back.
func TestMetricsOfNothing(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewMetrics(nil))
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
	m := NewMetrics(failing{})
	if m.Interval(history.Interval{}) == nil || m.Sample(history.Sample{}) == nil {
		t.Error("the recorder's error is lost")
	}
}

type failing struct{}

func (failing) Interval(history.Interval) error { return errors.New("disk full") }
func (failing) Sample(history.Sample) error     { return errors.New("disk full") }
