package des

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"coinbench/capacity/queueing"
	"coinbench/services/settings"
)

// poisson is a schedule of Poisson arrivals.
func poisson(ratePerS float64, seed uint64) func(int64) (time.Duration, bool) {
	random := rand.New(rand.NewPCG(seed, 1))
	at := 0.0
	return func(int64) (time.Duration, bool) {
		at += random.ExpFloat64() / ratePerS
		return time.Duration(at * float64(time.Second)), true
	}
}

// open simulates one service under Poisson load and estimates its mean response time.
func open(t *testing.T, env map[string]string, ratePerS float64, requests int64) Estimate {
	t.Helper()
	s := New(Config{Seed: 1})
	if err := s.AddService(Service{Settings: parse(t, settings.Hasher, map[string]string{"COIN_DELAY": "1ms"}, env)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartTask(settings.Hasher, 1); err != nil {
		t.Fatal(err)
	}
	s.RunUntil(time.Second)
	r := &recorder{}
	id, err := s.StartLoad(Load{Name: "open", Targets: []Target{{Service: settings.Hasher}}, Due: poisson(ratePerS, 11), Requests: requests,
		Connections: 1 << 30, MaxSamples: requests, Recorder: r})
	if err != nil {
		t.Fatal(err)
	}
	s.RunUntil(1 << 62)
	if end, over, err := s.LoadEnd(id); err != nil || !over || end.OK != requests || end.Due != end.OK+end.Failed {
		t.Fatalf("load ended %+v, over %v, %v", end, over, err)
	}
	var values []float64
	for _, x := range r.samples[requests/10:] {
		values = append(values, (x.Done - x.Due).Seconds())
	}
	e, err := BatchMeans(values, 30, .99)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Within the simulation's own 99 % interval, which must be narrower than 8 % of the value for the test to say anything.
func covered(t *testing.T, what string, e Estimate, want float64) {
	t.Helper()
	if !e.Covers(want) {
		t.Errorf("%s: simulated %.5g +- %.2g, exact %.5g", what, e.Mean, e.HalfWidth, want)
	}
	if e.HalfWidth > .08*want {
		t.Errorf("%s: the interval %.5g +- %.2g is too wide to say anything", what, e.Mean, e.HalfWidth)
	}
}

func TestOpenQueuesAgainstClosedForm(t *testing.T) {
	for _, c := range []struct {
		servers int
		rho     float64
		d       settings.Distribution
	}{{1, .7, settings.Exponential}, {1, .7, settings.Constant}, {5, .8, settings.Exponential}} {
		name := fmt.Sprintf("%d servers, utilisation %g, %s", c.servers, c.rho, c.d)
		t.Run(name, func(t *testing.T) {
			rate := c.rho * float64(c.servers) / .001
			e := open(t, map[string]string{"COIN_CONCURRENCY": fmt.Sprint(c.servers), "COIN_DELAY_DISTRIBUTION": string(c.d)}, rate, 80_000)
			var q queueing.Queue
			var err error
			if c.d == settings.Constant {
				q, err = queueing.MD1(rate, .001)
			} else {
				q, err = queueing.MMC(rate, .001, c.servers)
			}
			if err != nil {
				t.Fatal(err)
			}
			covered(t, name, e, q.ResponseS)
		})
	}
}

// Uniform and normal delays are neither: Pollaczek and Khinchine know them.
func TestMG1AgainstClosedForm(t *testing.T) {
	for d, squaredCV := range map[settings.Distribution]float64{settings.Uniform: .06 * .06 / 3 / .01, settings.Normal: .02 * .02 / .01} {
		jitter := "600us"
		if d == settings.Normal {
			jitter = "200us"
		}
		e := open(t, map[string]string{"COIN_CONCURRENCY": "1", "COIN_DELAY_DISTRIBUTION": string(d), "COIN_DELAY_JITTER": jitter}, 700, 60_000)
		q, err := queueing.MG1(700, .001, squaredCV)
		if err != nil {
			t.Fatal(err)
		}
		covered(t, string(d), e, q.ResponseS)
	}
}

// The app with exponential delays and random routing is a product-form network: its exact solution, and DOCKERCOINS 7.2.
func TestClosedNetworkAgainstExactSolution(t *testing.T) {
	for rng, want := range map[int]map[int]float64{1: {3: 7.9, 10: 10}, 2: {5: 12.8, 10: 17.2}, 5: {10: 26.1, 20: 37.5}} {
		for n, published := range want {
			a := app{workers: n, rng: rng, balance: Random, seed: uint64(n), env: map[string]string{
				"rng/COIN_DELAY_DISTRIBUTION": "exponential", "hasher/COIN_DELAY_DISTRIBUTION": "exponential"}}
			s := a.start(t)
			s.RunUntil(100 * time.Second)
			var rates []float64
			before := s.Totals(settings.Worker).Hashes
			for b := range 30 {
				s.RunUntil(time.Duration(b+2) * 100 * time.Second)
				now := s.Totals(settings.Worker).Hashes
				rates = append(rates, float64(now-before)/100)
				before = now
			}
			e, err := BatchMeans(rates, 30, .99)
			if err != nil {
				t.Fatal(err)
			}
			exact, err := queueing.Network{ThinkS: .1, Stations: append(queueing.Station{Name: "rng", DemandS: .1, Servers: 1}.Split(rng),
				queueing.Station{Name: "hasher", DemandS: .1, Servers: 20})}.Solve(n)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%d workers, %d rng", n, rng)
			covered(t, name, e, exact.RatePerS)
			near(t, name+", published", e.Mean, published, .05+e.HalfWidth)
		}
	}
}

func TestBatchMeansCoversWhatItSays(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	covers := 0
	const runs = 200
	for range runs {
		// A first-order autoregression with correlation 0.9 and mean 5.
		x, values := 0.0, make([]float64, 10_000)
		for i := range values {
			x = .9*x + random.NormFloat64()
			values[i] = 5 + x
		}
		e, err := BatchMeans(values, 20, .9)
		if err != nil {
			t.Fatal(err)
		}
		if e.Covers(5) {
			covers++
		}
	}
	near(t, "share of 90 % intervals that cover the mean", float64(covers)/runs, .9, .05)
	if _, err := BatchMeans([]float64{1}, 2, .9); err == nil {
		t.Error("one value in two batches: no error")
	}
	if e, err := BatchMeans([]float64{1, 1, 1, 1}, 2, .9); err != nil || e.HalfWidth != 0 || math.IsNaN(e.Lag1) {
		t.Errorf("constant values: %+v, %v", e, err)
	}
}
