package des

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"coinbench/services/settings"
)

func exponentialDelays(on bool) map[string]string {
	d := settings.Constant
	if on {
		d = settings.Exponential
	}
	return map[string]string{"rng/COIN_DELAY_DISTRIBUTION": string(d), "hasher/COIN_DELAY_DISTRIBUTION": string(d)}
}

// BenchmarkEvents shows the cost of an event over four decades of size: constant delays in lanes, exponential ones in the heap.
func BenchmarkEvents(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		for _, exponential := range []bool{false, true} {
			b.Run(fmt.Sprintf("workers=%d/exponential=%v", n, exponential), func(b *testing.B) {
				s := app{workers: n, rng: max(1, n/4), hasher: max(1, n/80), spread: settle, env: exponentialDelays(exponential)}.start(b)
				s.RunUntil(2 * time.Second)
				before, at := s.Processed(), s.Now()
				step := time.Duration(float64(time.Second) * 1000 / float64(n))
				b.ReportAllocs()
				for b.Loop() {
					at += step
					s.RunUntil(at)
				}
				b.ReportMetric(float64(s.Processed()-before)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(s.Processed()-before), "ns/event")
			})
		}
	}
}

// BenchmarkTenThousandWorkers is 10,000 workers and 2,500 rng for ten virtual minutes, from nothing to the last counter.
func BenchmarkTenThousandWorkers(b *testing.B) {
	for _, exponential := range []bool{false, true} {
		b.Run(fmt.Sprintf("exponential=%v", exponential), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				s := app{workers: 10_000, rng: 2500, hasher: 130, spread: settle, env: exponentialDelays(exponential)}.start(b)
				s.RunUntil(10 * time.Minute)
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "MB")
				b.ReportMetric(float64(s.Totals("").Hashes)/600, "hashes/s")
				b.ReportMetric(float64(s.Processed()), "events")
			}
		})
	}
}

// BenchmarkBesideSimPy plays one model here and in Debian's python3-simpy, and says how many times faster this is.
func BenchmarkBesideSimPy(b *testing.B) {
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import SimPy.Simulation").CombinedOutput(); err != nil {
		b.Skipf("not run: for want of SimPy (apt-get install python3-simpy): %v: %s", err, out)
	}
	for _, c := range []struct{ workers, rng, hasher, seconds int }{{10, 5, 1, 2000}, {100, 20, 5, 200}, {1000, 250, 15, 20}} {
		for _, exponential := range []int{0, 1} {
			b.Run(fmt.Sprintf("workers=%d/exponential=%v", c.workers, exponential == 1), func(b *testing.B) {
				for b.Loop() {
					command := exec.Command(python, "testdata/simpy2.py", fmt.Sprint(c.workers), fmt.Sprint(c.rng), fmt.Sprint(c.hasher),
						fmt.Sprint(c.seconds), fmt.Sprint(exponential))
					command.Stderr = os.Stderr
					out, err := command.Output()
					if err != nil {
						b.Fatal(err)
					}
					var theirs int64
					var simpy float64
					if _, err := fmt.Sscan(string(out), &theirs, &simpy); err != nil {
						b.Fatal(errors.Join(err, errors.New(string(out))))
					}
					s := app{workers: c.workers, rng: c.rng, hasher: c.hasher, spread: settle, env: exponentialDelays(exponential == 1)}.start(b)
					begin := time.Now()
					s.RunUntil(time.Duration(c.seconds) * time.Second)
					here := time.Since(begin).Seconds()
					ours := s.Totals("").Hashes
					near(b, "hashes beside SimPy's", float64(ours), float64(theirs), .02*float64(theirs)+float64(c.workers))
					b.ReportMetric(simpy/here, "times-faster")
					b.ReportMetric(float64(ours)/here, "hashes/s-here")
					b.ReportMetric(float64(theirs)/simpy, "hashes/s-simpy")
				}
			})
		}
	}
}
