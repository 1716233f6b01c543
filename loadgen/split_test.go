package loadgen

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However a workload is shared, the shares add up to it.
func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Workload{Name: "x", Targets: []Target{{URL: "http://127.0.0.1/"}}, Seed: 5,
			Requests: rapid.Int64Range(0, 1000).Draw(t, "requests"), Duration: 10 * time.Second}
		closed := rapid.Bool().Draw(t, "closed")
		if closed {
			w.Clients = rapid.IntRange(1, 100).Draw(t, "clients")
		} else {
			w.Schedule = rapid.SampledFrom([]string{"500/s", "ramp(10/s, 500/s, 30s) then 500/s for 1m", "poisson(200/s)",
				"steps(10, 20, 5s, 4)", "sine(mean 100/s, amp 30/s, period 10s)", "7/m"}).Draw(t, "schedule")
		}
		n := rapid.IntRange(1, 7).Draw(t, "generators")
		shares, err := w.Split(n)
		if err != nil {
			t.Fatal(err)
		}
		var clients int
		var requests int64
		var due float64
		seeds := map[uint64]bool{}
		at := 20 * time.Second
		for _, s := range shares {
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			clients += s.Clients
			requests += s.Requests
			seeds[s.Seed] = true
			if !closed {
				schedule, err := ParseSchedule(s.Schedule)
				if err != nil {
					t.Fatal(err)
				}
				due += schedule.Count(at)
			}
		}
		if clients != w.Clients || requests != w.Requests || len(seeds) != len(shares) {
			t.Fatalf("%d clients of %d, %d requests of %d, %d seeds of %d", clients, w.Clients, requests, w.Requests, len(seeds), len(shares))
		}
		if !closed {
			whole, _ := ParseSchedule(w.Schedule)
			if want := whole.Count(at); math.Abs(due-want) > 1e-6*want {
				t.Fatalf("%g requests due of %g", due, want)
			}
		}
	})
	if _, err := (Workload{}).Split(2); err == nil {
		t.Error("an impossible workload is shared")
	}
	if _, err := (Workload{Clients: 1}).Split(0); err == nil {
		t.Error("no generators, and no error")
	}
}
