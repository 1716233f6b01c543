package serve

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A sleep that ends late is counted by as much, one that does not is not, and what is no sleep is none.
func TestLatenessIsWhatSleepsLastTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 20 * time.Millisecond
		l := NewLateness(func(d time.Duration) { time.Sleep(d + late) })
		r := prometheus.NewRegistry()
		l.register(r)
		l.Sleep(100 * time.Millisecond)
		late = 0
		l.Sleep(300 * time.Millisecond)
		l.Sleep(0)
		l.Sleep(-time.Second)
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
		}
		if got["coinbench_sleep_seconds_total"] != .4 || got["coinbench_sleep_late_seconds_total"] != .02 {
			t.Errorf("%v, want .4 s asked for and .02 s late", got)
		}
	})
}
