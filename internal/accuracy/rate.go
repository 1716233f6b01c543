package main

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat"

	"coinbench/capacity/des"
)

// budget is how many hashes the windows of a cell with chance in it hold.
const budget = 100000

func exponential() map[string]string {
	return map[string]string{"rng/COIN_DELAY_DISTRIBUTION": "exponential", "hasher/COIN_DELAY_DISTRIBUTION": "exponential"}
}

func jitter(d string) map[string]string {
	return map[string]string{"rng/COIN_DELAY_DISTRIBUTION": "normal", "rng/COIN_DELAY_JITTER": d, "hasher/COIN_DELAY_DISTRIBUTION": "normal", "hasher/COIN_DELAY_JITTER": d}
}

// rateBias holds the mean of many short windows against the long run.
func rateBias() table {
	return table{name: "rate-bias", title: "Hash rate: bias",
		text: `
The mean over all windows of the measured hash rate, against the long run (four simulated runs of 5,000 s). A window lasts as many loops
as the column says; windows begin at instants that are drawn. In brackets the standard error of the bias; with constant delays the
greatest error of a single window instead. There is one rng for every two workers, and constant delays with think 37 ms as well, which
lock the workers into unequal rates.`,
		rows: func() ([][]string, error) {
			loops := []float64{1, 1.5, 2, 3, 10}
			rows := [][]string{{"delays", "workers", "rng"}}
			for _, l := range loops {
				rows[0] = append(rows[0], fmt.Sprintf("%g loops", l))
			}
			for _, c := range []struct {
				name string
				env  map[string]string
			}{{"constant", nil}, {"constant, think 37 ms", map[string]string{"worker/COIN_THINK": "37ms"}}, {"exponential", exponential()}} {
				for _, n := range []int{1, 2, 5, 13, 200} {
					s := setting{workers: n, rng: max(1, n/3), hasher: 1 + n/40, env: c.env, settle: 20 * time.Second}
					truth, err := s.truth(5000 * time.Second)
					if err != nil {
						return nil, err
					}
					row := []string{c.name, fmt.Sprint(n), fmt.Sprint(s.rng)}
					for _, l := range loops {
						s.window = time.Duration(l * float64(n) / truth * float64(time.Second))
						errors, err := s.errors(truth, c.env["rng/COIN_DELAY_DISTRIBUTION"] != "")
						if err != nil {
							return nil, err
						}
						mean, sd := stat.MeanStdDev(errors, nil)
						spread := sd / math.Sqrt(float64(len(errors)))
						if c.env["rng/COIN_DELAY_DISTRIBUTION"] == "" {
							spread = 0
							for _, e := range errors {
								spread = max(spread, math.Abs(e))
							}
						}
						row = append(row, fmt.Sprintf("%+.2f (%.2f) %%", 100*mean, 100*spread))
					}
					rows = append(rows, row)
				}
			}
			return rows, nil
		}}
}

// errors are the relative errors of the hash rate of some windows.
func (s setting) errors(truth float64, random bool) ([]float64, error) {
	var all []float64
	runs := 2
	s.windows = 10
	if random {
		runs, s.windows = min(2000, max(4, int(float64(budget)/s.window.Seconds()/truth/20))), 20
	}
	for seed := range runs {
		windows, err := s.measure(uint64(seed + 1))
		if err != nil {
			return nil, err
		}
		for _, w := range windows {
			all = append(all, w.HashRate.Value/truth-1)
		}
	}
	return all, nil
}

// rateCoverage counts how often the interval of the hash rate contains the truth.
func rateCoverage() table {
	return table{name: "rate-coverage", title: "Hash rate: coverage of the 95 % interval",
		text: `
How often the printed interval contains the hash rate of the long run, of 400 runs each, and in brackets half its width, in the mean.
Where delays are constant and the balancing is round robin there is no noise, and the interval has next to no width.`,
		rows: func() ([][]string, error) {
			lengths := []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second}
			rows := [][]string{{"setting", "hashes/s"}}
			for _, l := range lengths {
				rows[0] = append(rows[0], l.String())
			}
			for _, c := range coverageSettings() {
				truth, err := c.setting.truth(5000 * time.Second)
				if err != nil {
					return nil, err
				}
				row := []string{c.name, fmt.Sprintf("%.2f", truth)}
				for _, l := range lengths {
					c.setting.window = l
					hit, width, none := 0, 0.0, 0
					const seeds = 400
					for seed := range uint64(seeds) {
						windows, err := c.setting.measure(seed + 1)
						if err != nil {
							return nil, err
						}
						e := windows[0].HashRate
						if e.Margin() == nil {
							none++
							continue
						}
						if *e.Low <= truth*(1+1e-4) && truth*(1-1e-4) <= *e.High {
							hit++
						}
						width += *e.Margin() / truth
					}
					if none == seeds {
						row = append(row, "none")
						continue
					}
					n := float64(seeds - none)
					row = append(row, fmt.Sprintf("%.3f (%.2f %%)", float64(hit)/n, 100*width/n))
				}
				rows = append(rows, row)
			}
			return rows, nil
		}}
}

type named struct {
	name    string
	setting setting
}

func coverageSettings() []named {
	settle := 20 * time.Second
	return []named{
		{"constant, 10 workers, 5 rng", setting{workers: 10, rng: 5, settle: settle}},
		{"constant, 13 workers, 4 rng, think 37 ms", setting{workers: 13, rng: 4, settle: settle, env: map[string]string{"worker/COIN_THINK": "37ms"}}},
		{"exponential, 1 worker, 1 rng", setting{workers: 1, rng: 1, settle: settle, env: exponential()}},
		{"exponential, 10 workers, 1 rng", setting{workers: 10, rng: 1, settle: settle, env: exponential()}},
		{"exponential, 10 workers, 5 rng", setting{workers: 10, rng: 5, settle: settle, env: exponential()}},
		{"exponential, 100 workers, 20 rng", setting{workers: 100, rng: 20, hasher: 2, settle: settle, env: exponential()}},
		{"exponential, random, 10 workers, 5 rng", setting{workers: 10, rng: 5, settle: settle, balance: des.Random, env: exponential()}},
		{"exponential, least connections, 16 workers, 4 rng", setting{workers: 16, rng: 4, settle: settle, balance: des.LeastConnections, env: exponential()}},
		{"constant, random, 10 workers, 5 rng", setting{workers: 10, rng: 5, settle: settle, balance: des.Random}},
		{"constant, random, 10 workers, 2 rng", setting{workers: 10, rng: 2, settle: settle, balance: des.Random}},
		{"constant, random, 40 workers, 10 rng", setting{workers: 40, rng: 10, hasher: 2, settle: settle, balance: des.Random}},
		{"jitter of 10 ms, 9 workers, 3 rng", setting{workers: 9, rng: 3, settle: settle, env: jitter("10ms")}},
		{"jitter of 30 ms, 13 workers, 4 rng", setting{workers: 13, rng: 4, settle: settle, env: jitter("30ms")}},
	}
}
