package des

import (
	"fmt"
	"testing"
	"time"
)

func TestExplore(t *testing.T) {
	for _, env := range []map[string]string{nil, workshop()} {
		for _, b := range []Balance{RoundRobin, RoundRobinPerClient, Random, LeastConnections, Sticky} {
			for _, c := range [][2]int{{10, 2}, {10, 3}, {10, 5}, {15, 5}} {
				sum := 0.0
				lo, hi := 1e9, 0.0
				for seed := range 10 {
					s := app{workers: c[0], rng: c[1], balance: b, spread: 300 * time.Millisecond, seed: uint64(seed), env: env}.start(t)
					x := rate(s, 20*time.Second, 120*time.Second)
					sum += x / 10
					lo, hi = min(lo, x), max(hi, x)
				}
				fmt.Printf("%v %s N=%d R=%d: %.2f [%.2f %.2f]\n", env != nil, b, c[0], c[1], sum, lo, hi)
			}
		}
	}
	for _, b := range []Balance{RoundRobin, RoundRobinPerClient, Random} {
		for _, down := range []time.Duration{300 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second} {
			for _, env := range []map[string]string{nil, workshop()} {
				hit, lost := 0.0, 0.0
				const runs = 60
				for seed := range runs {
					a := app{workers: 10, rng: 5, balance: b, spread: 300 * time.Millisecond, seed: uint64(seed), env: env}
					s, quiet := a.start(t), a.start(t)
					at := 20*time.Second + time.Duration(seed)*37*time.Millisecond
					s.RunUntil(at)
					if err := s.KillTask(1, Kill{Restart: true, Down: down, InRotation: true}); err != nil {
						t.Fatal(err)
					}
					s.RunUntil(at + 60*time.Second)
					quiet.RunUntil(at + 60*time.Second)
					hit += float64(s.Totals("").Backoffs) / runs
					lost += float64(quiet.Totals("").Hashes-s.Totals("").Hashes) / runs
				}
				fmt.Printf("%v %s down %v: hit %.1f lost %.0f\n", env != nil, b, down, hit, lost)
			}
		}
	}
	for _, env := range []map[string]string{nil, workshop()} {
		for _, n := range []int{1, 2, 3, 4, 5, 8, 10, 12, 15, 20} {
			s := app{workers: n, rng: 1, spread: 300 * time.Millisecond, seed: 1, env: env}.start(t)
			r := &recorder{}
			id, err := s.StartLoad(Load{Name: "probe", Targets: []Target{{Service: "rng", Root: true}}, Clients: 1, Think: 997 * time.Millisecond, Duration: 600 * time.Second, PerRequest: true, Recorder: r, MaxSamples: 1e6})
			if err != nil {
				t.Fatal(err)
			}
			s.RunUntil(700 * time.Second)
			end, over, err := s.LoadEnd(id)
			mean := 0.0
			for _, x := range r.samples {
				mean += (x.Done - x.Sent).Seconds() * 1000 / float64(len(r.samples))
			}
			fmt.Printf("probe N=%d: %.1f ms %+v %v %v\n", n, mean, end, over, err)
		}
	}
}
