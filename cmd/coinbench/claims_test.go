package main

import (
	"fmt"
	"math"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/queueing"
	"coinbench/cluster/sim"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/race"
)

// The claims of the reference about DockerCoins, section 7, each reproduced by a shipped scenario in virtual time. The race detector
// makes these runs ten times slower: with it only some of the long ones are played, and the gate plays all of them without it too.

func rateOf(t *testing.T, a *capacity.Analysis, window string) float64 {
	t.Helper()
	w := a.Window(window)
	if w == nil || w.HashRate == nil {
		t.Fatalf("window %s has no hash rate", window)
	}
	return w.HashRate.Value
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s: %.4g, want %.4g ± %.2g", what, got, want, tolerance)
	}
}

// 7.1: the table of bounds for overheads of 0, 5 and 8 ms, 1 to 20 workers and 1 to 5 rng; 7.2: round robin reaches 99 to 100 % of them.
func TestClaimBounds(t *testing.T) {
	t.Parallel()
	for _, o := range []float64{0, .005, .008} {
		for rng := 1; rng <= 5; rng++ {
			if race.Enabled && rng != 2 {
				continue
			}
			t.Run(fmt.Sprintf("o=%g/rng=%d", o, rng), func(t *testing.T) {
				t.Parallel()
				_, a := simulate(t, shipped(t, "bounds"), sim.Costs{}, map[string]string{"rng": fmt.Sprint(rng),
					"occupancy": fmt.Sprintf("%gms", o*1000), "settle": "1500ms", "point": "5s"})
				for n := 1; n <= 20; n++ {
					bound := math.Min(float64(n)/(.3+2*o), float64(rng)/(.1+o))
					got := rateOf(t, a, fmt.Sprintf("sweep/%d", n))
					if got > 1.005*bound || got < .985*bound {
						t.Errorf("N=%d: %.3f hashes/s, bound %.3f", n, got, bound)
					}
				}
			})
		}
	}
}

// 7.1, last lines: in the calibration to the article's ab; 7.3: 31.3 with 10 workers and 5 rng, 42.9 after think 0.01 s.
func TestClaimCalibrated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		workers, rng int
		think        string
		want, off    float64
	}{
		{1, 1, "100ms", 3.14, .01}, {2, 1, "100ms", 6.29, .01}, {3, 1, "100ms", 9.35, .01}, {5, 2, "100ms", 15.7, .01}, {8, 3, "100ms", 25.2,
			.015},
		{10, 1, "100ms", 9.35, .01}, {10, 2, "100ms", 18.7, .01}, {10, 3, "100ms", 28.0, .01}, {10, 4, "100ms", 31.4, .015}, {10, 5, "100ms",
			31.4, .01},
		{15, 5, "100ms", 46.7, .015}, {10, 5, "10ms", 43.9, .03},
	} {
		_, a := simulate(t, shipped(t, "setting"), sim.Costs{}, map[string]string{"profile": "workshop", "workers": fmt.Sprint(c.workers),
			"rng": fmt.Sprint(c.rng), "think": c.think, "measure": "60s", "probed": "1s"})
		within(t, fmt.Sprintf("N=%d R=%d think %s", c.workers, c.rng, c.think), rateOf(t, a, "steady"), c.want, c.off*c.want)
	}
}

// 7.2: least connections are as good as round robin; 3 ms of jitter cost 2 to 3 %; random balancing costs more (trap 36).
func TestClaimBalancing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		workers, rng int
		sets         map[string]string
		want, off    float64
	}{
		{"fewest connections", 10, 5, map[string]string{"balance": "least-connections"}, 31.4, .015},
		{"fewest connections", 15, 5, map[string]string{"balance": "least-connections"}, 46.7, .02},
		{"jitter of 3 ms", 10, 1, map[string]string{"distribution": "normal", "jitter": "3ms"}, 9.35, .03},
		{"jitter of 3 ms", 9, 3, map[string]string{"distribution": "normal", "jitter": "3ms"}, .975 * 28.04, .02},
		{"random", 10, 2, map[string]string{"balance": "random"}, 17.2, .03},
		{"random", 10, 3, map[string]string{"balance": "random"}, 22.8, .03},
		{"random", 10, 5, map[string]string{"balance": "random"}, 27.1, .03},
		{"random", 15, 5, map[string]string{"balance": "random"}, 34.8, .03},
		{"random, think 10 ms", 10, 5, map[string]string{"balance": "random", "think": "10ms"}, 32.0, .03},
	} {
		sets := map[string]string{"profile": "workshop", "workers": fmt.Sprint(c.workers), "rng": fmt.Sprint(c.rng), "measure": "120s",
			"probed": "1s"}
		for k, v := range c.sets {
			sets[k] = v
		}
		_, a := simulate(t, shipped(t, "setting"), sim.Costs{}, sets)
		within(t, fmt.Sprintf("%s, N=%d R=%d", c.name, c.workers, c.rng), rateOf(t, a, "steady"), c.want, c.off*c.want)
	}
}

// 7.2: with exponential delays and random routing the app is the product-form network that students solve: 7.9 at three workers, where the
// app with its constant delays makes 10.
func TestClaimExponential(t *testing.T) {
	t.Parallel()
	workers := []int{1, 2, 3, 5, 10, 15, 20}
	for rng, published := range map[int][]float64{1: {3.3, 6.0, 7.9, 9.6, 10, 10, 10}, 2: {3.3, 6.3, 8.9, 12.8, 17.2, 18.3, 18.8},
		5: {3.3, 6.5, 9.6, 15.1, 26.1, 33.2, 37.5}} {
		for i, n := range workers {
			network := queueing.Network{ThinkS: .1, Stations: append((queueing.Station{Name: "rng", DemandS: .1, Servers: 1}).Split(rng),
				queueing.Station{Name: "hasher", DemandS: .1, Servers: 20})}
			s, err := network.Solve(n)
			if err != nil {
				t.Fatal(err)
			}
			within(t, fmt.Sprintf("MVA at N=%d R=%d", n, rng), s.RatePerS, published[i], .06)
			if n != 3 && n != 10 && n != 20 {
				continue
			}
			_, a := simulate(t, shipped(t, "setting"), sim.Costs{}, map[string]string{"workers": fmt.Sprint(n), "rng": fmt.Sprint(rng),
				"distribution": "exponential", "balance": "random", "measure": "240s", "probed": "1s"})
			within(t, fmt.Sprintf("simulated at N=%d R=%d", n, rng), rateOf(t, a, "steady"), s.RatePerS, .03*s.RatePerS)
		}
	}
}

// 7.3: what the published statements saw: the display of one worker, of ten, and after the faster loop; and the benches.
func TestClaimStatements(t *testing.T) {
	t.Parallel()
	display := func(sets map[string]string) map[int]float64 {
		sets["measure"], sets["probed"] = "300s", "1s"
		// Published swings are of workers that began at different times; those that begin together flush together.
		run, a := simulate(t, shipped(t, "setting"), sim.Costs{StartSpread: time.Second}, sets)
		w := a.Window("steady")
		seen, n, last := map[int]float64{}, 0.0, -1.0
		var before history.Reading
		for _, r := range run.Readings {
			if r.Service != "redis" || r.At.Seconds() < w.BeginS || r.At.Seconds() > w.EndS || r.At.Seconds() < last+.9 {
				continue
			}
			if last >= 0 && r.At.Seconds() < last+1.1 {
				seen[int(r.Values.Of(history.RedisHashes)-before.Values.Of(history.RedisHashes))]++
				n++
			}
			last, before = r.At.Seconds(), r
		}
		for k := range seen {
			seen[k] /= n
		}
		return seen
	}
	one := display(map[string]string{"workers": "1", "rng": "1"})
	within(t, "share of 4s on the display, no overheads", one[4], .83, .04)
	one = display(map[string]string{"workers": "1", "rng": "1", "profile": "workshop"})
	within(t, "share of 4s on the display, with overheads", one[4], .78, .05)
	spread := func(seen map[int]float64) (low, high int) {
		low = math.MaxInt
		for k := range seen {
			low, high = min(low, k), max(high, k)
		}
		return low, high
	}
	low, high := spread(display(map[string]string{"workers": "10", "rng": "5", "profile": "workshop"}))
	if low < 8 || low > 28 || high < 36 || high > 44 {
		t.Errorf("ten workers, five rng: the display swings from %d to %d, published 16 to 40", low, high)
	}
	low, high = spread(display(map[string]string{"workers": "10", "rng": "5", "profile": "workshop", "think": "10ms"}))
	if low < 15 || low > 40 || high < 46 || high > 55 {
		t.Errorf("with a think time of 10 ms the display swings from %d to %d, published 20 to 50", low, high)
	}
	_, a := simulate(t, shipped(t, "bottleneck"), sim.Costs{}, map[string]string{"profile": "workshop", "point": "2s", "measure": "4s"})
	within(t, "rng at c=50, requests/s", a.Load("rng/c50").PerS, 46.7, .5)
	if got := a.Load("hasher/c50").PerS; got < 143 || got > 160 { // 158.7 before the connections' ramp, 143.9 with it
		t.Errorf("hasher at c=50: %.1f requests/s, published 143.9 to 158.7", got)
	}
	within(t, "rng at c=1, requests/s", a.Load("rng/c1").PerS, 9.3, .1)
	within(t, "hasher at c=1, requests/s", a.Load("hasher/c1").PerS, 9.5, .1)
}

// 7.4: what a visitor of rng's / waits, without overheads and with. A bare app keeps one rhythm for ever, so each number is the mean of
// several starts; what the visitor's own request takes is not part of what was published.
func TestClaimProbe(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][2]float64{1: {17, 18}, 2: {32, 35}, 3: {54, 56}, 4: {153, 167}, 5: {255, 274}, 8: {561, 602}, 10: {763, 819},
		12: {965, 1035}, 15: {1268, 1363}, 20: {1779, 1906}} {
		if race.Enabled && n != 3 && n != 10 {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			for i, profile := range []string{"", "workshop"} {
				mean := 0.0
				seeds := 3
				if profile != "" {
					seeds = 1 // overheads shake the rhythm
				}
				for seed := range seeds {
					sets := map[string]string{"workers": fmt.Sprint(n), "rng": "1", "measure": "1s", "probed": "120s", "every": "1237ms",
						"seed": fmt.Sprint(seed + 1)}
					if profile != "" {
						sets["profile"] = profile
					}
					_, a := simulate(t, shipped(t, "setting"), sim.Costs{}, sets)
					mean += a.Load("probe-probed").Response.MeanS * 1000 / float64(seeds)
				}
				if i == 1 {
					mean -= 7
				}
				within(t, fmt.Sprintf("N=%d, profile %q, ms", n, profile), mean, want[i], .05*want[i]+8)
				if n > 3 && i == 0 {
					within(t, fmt.Sprintf("N=%d by the formula (N-3) S + S/2, ms", n), mean, float64(n-3)*100+50, .05*want[i]+8)
				}
			}
		})
	}
}

// L8: a check that queues behind the work crosses its second at 12 to 13 workers; one of the admin port never does. A replica that dies
// takes the other with it.
func TestClaimFlapping(t *testing.T) {
	t.Parallel()
	unhealthy := func(run *history.Run) (n int) {
		for _, e := range run.Events {
			if e.Is(event.TaskUnhealthy{}) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		workers, check string
		flaps          bool
	}{
		{"10", "http://127.0.0.1:80/", false}, {"12", "http://127.0.0.1:80/", false}, {"14", "http://127.0.0.1:80/", true}, {"15",
			"http://127.0.0.1:80/", true},
		{"15", "http://127.0.0.1:8081/healthz", false},
	} {
		run, a := simulate(t, shipped(t, "flapping"), sim.Costs{}, map[string]string{"workers": c.workers, "check": c.check})
		if n := unhealthy(run); (n > 0) != c.flaps {
			t.Errorf("%s workers, check of %s: %d times unhealthy", c.workers, c.check, n)
		}
		if !c.flaps {
			within(t, c.workers+" workers", rateOf(t, a, "flapping"), 10, .1)
		} else if got := rateOf(t, a, "flapping"); got > 7 {
			t.Errorf("%s workers: %.3g hashes/s with a check that kills", c.workers, got)
		}
	}
	run, a := simulate(t, shipped(t, "cascade"), sim.Costs{}, nil)
	if n := unhealthy(run); n == 0 || rateOf(t, a, "cascade") > 13 {
		t.Errorf("cascade: %d times unhealthy, %.3g hashes/s", n, rateOf(t, a, "cascade"))
	}
}
