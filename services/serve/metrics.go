package serve

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coinbench/history"
)

// metrics counts the requests of a service under the names of package history.
type metrics struct {
	requests *prometheus.CounterVec
	queue    prometheus.Histogram
	service  prometheus.Histogram

	queued   atomic.Int64 // requests that wait for a slot of a pool
	listener atomic.Pointer[net.Listener]

	mu      sync.Mutex
	running int           // slots that are taken
	busy    time.Duration // slot time up to since
	since   time.Time
}

// buckets suit an app whose unit of work is 100 ms: fine around multiples of it, up to a queue of 100.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .075, .09, .1, .105, .11, .125, .15, .2, .21, .25, .3, .35, .4, .5, .6, .75, 1,
	1.5, 2, 5, 10}

func newMetrics(r prometheus.Registerer, concurrency int) *metrics {
	histogram := func(sum, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: sum[:len(sum)-len("_sum")], Help: help,
			Buckets: buckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: history.Requests, Help: "Requests answered."},
			[]string{"code", "method"}),
		queue:   histogram(history.QueueSum, "Seconds that a request waited for its place in service."),
		service: histogram(history.ServiceSum, "Seconds that a request was in service."),
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	r.MustRegister(m.requests, m.queue, m.service,
		gauge(history.Concurrency, "Requests served at once; 0: no limit.", func() float64 { return float64(concurrency) }),
		gauge(history.InFlight, "Requests in service.", func() float64 { return float64(m.inFlight()) }),
		gauge(history.QueueLength, "Requests that wait for their place in service.", func() float64 { return float64(m.queueLength()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: history.Busy, Help: "Seconds of occupied server, summed over its slots."},
			func() float64 { return m.busySeconds(time.Now()) }),
	)
	return m
}

// begin takes a slot.
func (m *metrics) begin(now time.Time) { m.occupy(now, +1) }

// end gives it back.
func (m *metrics) end(now time.Time) { m.occupy(now, -1) }

func (m *metrics) occupy(now time.Time, change int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	m.running += change
}

// advance adds the slot time since the last change, so that a counter that is read in the middle of a request has
// the part of it that is over: a server that is always busy shows a rate of exactly 1 however short the window.
func (m *metrics) advance(now time.Time) {
	if now.After(m.since) { // concurrent requests may come here in another order than they took their times
		m.busy += time.Duration(m.running) * now.Sub(m.since)
		m.since = now
	}
}

func (m *metrics) busySeconds(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	return m.busy.Seconds()
}

func (m *metrics) inFlight() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

// queueLength is the pool's queue, or the kernel's where a serial server leaves the queueing to it.
func (m *metrics) queueLength() int64 {
	if l := m.listener.Load(); l != nil {
		n, _ := waiting(*l)
		return int64(n)
	}
	return m.queued.Load()
}

// answered counts a request. Methods are counted by name only if they are HTTP's: a client must not make series.
func (m *metrics) answered(code int, method string) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(strconv.Itoa(code), method).Inc()
}
