package serve

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coinbench/history"
)

// Lateness counts how long a service meant to sleep and by how much it slept longer. The app's work is made of sleeping, so this is
// what a busy machine does to it, whatever the delays are drawn from.
type Lateness struct {
	sleep       func(time.Duration)
	asked, late atomic.Int64 // nanoseconds
}

// NewLateness wraps a function that sleeps.
func NewLateness(sleep func(time.Duration)) *Lateness { return &Lateness{sleep: sleep} }

// Sleep sleeps, and counts it.
func (l *Lateness) Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	begin := time.Now()
	l.sleep(d)
	l.asked.Add(int64(d))
	l.late.Add(max(0, int64(time.Since(begin)-d)))
}

func (l *Lateness) register(r *prometheus.Registry) {
	counter := func(name, help string, v *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return time.Duration(v.Load()).Seconds() })
	}
	r.MustRegister(
		counter(history.Slept, "Seconds for which the service's delays were to last.", &l.asked),
		counter(history.SleptLate, "Seconds by which the service's delays lasted longer than that.", &l.late),
	)
}
