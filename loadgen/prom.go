package loadgen

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coinbench/history"
)

// Metrics passes a load's record on and shows its sums to Prometheus: it is a Recorder and a prometheus.Collector. What a
// scrape sees is at most a second old; the hot path knows nothing of it. Several loads, one after the other, add up.
type Metrics struct {
	next Recorder // nil: none

	mu    sync.Mutex
	total history.Interval
}

// NewMetrics wraps a recorder, which may be nil.
func NewMetrics(next Recorder) *Metrics { return &Metrics{next: next} }

// Interval adds a second of the load.
func (m *Metrics) Interval(i history.Interval) error {
	m.mu.Lock()
	m.total.Merge(i)
	m.mu.Unlock()
	if m.next == nil {
		return nil
	}
	return m.next.Interval(i)
}

// Sample passes a request on.
func (m *Metrics) Sample(s history.Sample) error {
	if m.next == nil {
		return nil
	}
	return m.next.Sample(s)
}

// metricDescs are the metrics' descriptions; base units are in the names.
type metricDescs struct{ requests, bytes, replicas, gap, response, service, lag *prometheus.Desc }

func newMetricDescs() metricDescs {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("coinbench_load_"+name, help, labels, nil)
	}
	return metricDescs{
		requests: d("requests_total", "Requests that ended, by how: ok, or a class of failure.", "class"),
		bytes:    d("received_bytes_total", "Bytes of bodies received."),
		replicas: d("answers_total", "Answers by the replica that gave them.", "replica"),
		gap:      d("longest_gap_seconds", "The longest time without a success so far."),
		response: d("response_seconds", "Response time of requests that succeeded: from due to done."),
		service:  d("service_seconds", "Service time of requests that succeeded: from sent to done."),
		lag:      d("lag_seconds", "Lag of requests that were sent: from due to sent."),
	}
}

// Describe is prometheus.Collector's.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	d := newMetricDescs()
	for _, desc := range []*prometheus.Desc{d.requests, d.bytes, d.replicas, d.gap, d.response, d.service, d.lag} {
		ch <- desc
	}
}

// Collect is prometheus.Collector's.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := newMetricDescs()
	counter := func(desc *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	counter(d.requests, m.total.OK, "ok")
	for _, class := range history.Classes() { // all of them, so that a rate of failures begins at 0
		counter(d.requests, m.total.Failures[class], string(class))
	}
	counter(d.bytes, m.total.Bytes)
	for replica, n := range m.total.Replicas {
		counter(d.replicas, n, replica)
	}
	ch <- prometheus.MustNewConstMetric(d.gap, prometheus.GaugeValue, m.total.MaxGap.Seconds())
	for desc, h := range map[*prometheus.Desc]*history.Histogram{d.response: m.total.Response, d.service: m.total.Service,
		d.lag: m.total.Lag} {
		ch <- constHistogram(desc, h)
	}
}

// bucketBounds are the classic buckets: 1, 2 and 5 times each power of ten, from 0.1 ms to 50 s.
func bucketBounds() []time.Duration {
	var bounds []time.Duration
	for d := 100 * time.Microsecond; d < 100*time.Second; d *= 10 {
		bounds = append(bounds, d, 2*d, 5*d)
	}
	return bounds
}

// constHistogram words an HDR histogram of nanoseconds as a classic histogram of seconds, exact within three digits.
func constHistogram(desc *prometheus.Desc, h *history.Histogram) prometheus.Metric {
	buckets := map[float64]uint64{}
	bounds := bucketBounds()
	for _, b := range bounds {
		buckets[b.Seconds()] = 0
	}
	if h == nil || h.TotalCount() == 0 {
		return prometheus.MustNewConstHistogram(desc, 0, 0, buckets)
	}
	var count uint64
	i := 0
	h.ForEachBucket(func(value, n int64) bool {
		for i < len(bounds) && value > int64(bounds[i]) {
			buckets[bounds[i].Seconds()] = count
			i++
		}
		count += uint64(n)
		return true
	})
	for ; i < len(bounds); i++ {
		buckets[bounds[i].Seconds()] = count
	}
	sum := h.Mean() * float64(h.TotalCount()) / float64(time.Second)
	if math.IsNaN(sum) {
		sum = 0
	}
	return prometheus.MustNewConstHistogram(desc, count, sum, buckets)
}
