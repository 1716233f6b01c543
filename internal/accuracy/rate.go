package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/history"
)

// budget is how many hashes the windows of a cell with chance in it hold.
const budget = 20000

func exponential() map[string]string {
	return map[string]string{"rng/COIN_DELAY_DISTRIBUTION": "exponential", "hasher/COIN_DELAY_DISTRIBUTION": "exponential"}
}

func jitter(d string) map[string]string {
	return map[string]string{"rng/COIN_DELAY_DISTRIBUTION": "normal", "rng/COIN_DELAY_JITTER": d, "hasher/COIN_DELAY_DISTRIBUTION": "normal",
		"hasher/COIN_DELAY_JITTER": d}
}

// rateBias holds the mean of many short windows against an estimator without bias.
func rateBias() table {
	return table{name: "rate-bias", title: "Hash rate: bias",
		text: `
The mean error of the hash rate over many windows, in percent of that of the long run. A window lasts as many loops as the column says; windows
begin at instants that are drawn. The error of a window is its difference from an estimator without bias, which divides the ages of the loops under
way by the mean loop of the long run; so the noise that both share is not in the table. In brackets the standard error of the bias; with constant delays and
round robin the greatest error of a single window instead, against the long run. Think 37 ms locks the workers into unequal loops. Before the first window nothing had
changed for 12 s.`,
		rows: func() ([][]string, error) {
			loops := []float64{1, 1.5, 2, 3, 10}
			rows := [][]string{{"delays", "workers", "rng"}}
			for _, l := range loops {
				rows[0] = append(rows[0], fmt.Sprintf("%g loops", l))
			}
			settle := 12 * time.Second
			think := map[string]string{"worker/COIN_THINK": "37ms"}
			var cases []named
			for _, n := range []struct{ workers, rng int }{{1, 1}, {2, 1}, {5, 1}, {13, 4}, {200, 66}} {
				s := setting{workers: n.workers, rng: n.rng, hasher: 1 + n.workers/40, settle: settle}
				locked, chance, random := s, s, s
				locked.env, chance.env, random.balance = think, exponential(), des.Random
				cases = append(cases, named{"constant", s}, named{"constant, think 37 ms", locked}, named{"exponential", chance})
				if n.rng > 1 {
					cases = append(cases, named{"constant, random", random})
				}
			}
			slices.SortStableFunc(cases, func(a, b named) int { return cmp.Compare(a.name, b.name) })
			for _, c := range cases {
				s := c.setting
				truth, err := s.truth(500 * time.Second)
				if err != nil {
					return nil, err
				}
				row := []string{c.name, fmt.Sprint(s.workers), fmt.Sprint(s.rng)}
				noise := s.balance == des.Random || s.env["rng/COIN_DELAY_DISTRIBUTION"] != ""
				for _, l := range loops {
					s.window = time.Duration(l * float64(s.workers) / truth * float64(time.Second))
					errors, err := s.errors(truth, noise)
					if err != nil {
						return nil, err
					}
					mean, sd := stat.MeanStdDev(errors, nil)
					spread := sd / math.Sqrt(float64(len(errors)))
					if !noise {
						spread = max(slices.Max(errors), -slices.Min(errors))
					}
					row = append(row, fmt.Sprintf("%+.2f (%.2f) %%", 100*mean, 100*spread))
				}
				rows = append(rows, row)
			}
			return rows, nil
		}}
}

// errors are the errors of the hash rate of some windows in units of the truth: where there is noise without what an unbiased estimator
// has as well.
func (s setting) errors(truth float64, noise bool) ([]float64, error) {
	var all []float64
	runs := 2
	s.windows = 10
	if noise {
		s.windows = 20
		runs = min(2000, max(4, int(float64(budget)/s.window.Seconds()/truth/float64(s.windows))))
	}
	for seed := range runs {
		run, err := s.play(uint64(seed + 1))
		if err != nil {
			return nil, err
		}
		if noise {
			all = append(all, s.against(run, truth)...)
			continue
		}
		for _, w := range capacity.Measure(run).Windows {
			all = append(all, w.HashRate.Value/truth-1)
		}
	}
	return all, nil
}

// against are the differences of a run's hash rates from an estimator without bias, in units of the truth.
func (s setting) against(run *history.Run, truth float64) (all []float64) {
	for _, w := range capacity.Measure(run).Windows {
		all = append(all, (w.HashRate.Value-unbiased(run, w, float64(s.workers)/truth))/truth)
	}
	return all
}

// rateCoverage counts how often the interval of the hash rate contains the truth.
func rateCoverage() table {
	return table{name: "rate-coverage", title: "Hash rate: coverage of the 95 % interval",
		text: `
How often the printed interval contains the hash rate of the long run, of 400 runs each, and in brackets half its width, in the mean; where
delays are constant and the balancing is round robin there is no noise, and it is the greatest of the 400. "No interval" is a window that says that it is too short for one.
Before the window nothing had changed for 12 s, or for as long as the row says. The settings of the second part are drawn.`,
		rows: func() ([][]string, error) {
			lengths := []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second}
			rows := [][]string{{"setting", "hashes/s"}}
			for _, l := range lengths {
				rows[0] = append(rows[0], l.String())
			}
			for _, c := range append(coverageSettings(), drawnSettings(4, 3)...) {
				truth, err := c.setting.truth(1000 * time.Second)
				if err != nil {
					return nil, err
				}
				still := c.setting.balance != des.Random && c.setting.env["rng/COIN_DELAY_DISTRIBUTION"] == ""
				row := []string{c.name, fmt.Sprintf("%.2f", truth)}
				for _, l := range lengths {
					c.setting.window = l
					hit, none := 0, 0
					var halves []float64
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
						halves = append(halves, *e.Margin()/truth)
					}
					switch {
					case none == seeds:
						row = append(row, "no interval")
						continue
					case still:
						row = append(row, fmt.Sprintf("%.3f (%.2f %%)", float64(hit)/float64(seeds-none), 100*slices.Max(halves)))
					default:
						row = append(row, fmt.Sprintf("%.3f (%.1f %%)", float64(hit)/float64(seeds-none), 100*stat.Mean(halves, nil)))
					}
					if none > 0 {
						row[len(row)-1] += fmt.Sprintf(", %d without", none)
					}
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
	settle := 12 * time.Second
	think := func(d string) map[string]string { return map[string]string{"worker/COIN_THINK": d} }
	all := []named{
		{"constant, 10 workers, 5 rng", setting{workers: 10, rng: 5}},
		{"constant, 13 workers, 4 rng, think 37 ms", setting{workers: 13, rng: 4, env: think("37ms")}},
		{"constant, 7 workers, 2 rng, think 33 ms", setting{workers: 7, rng: 2, env: think("33ms")}},
		{"constant, 11 workers, 3 rng, think 53 ms", setting{workers: 11, rng: 3, env: think("53ms")}},
		{"constant, 13 workers, 4 rng, think 37 ms, 3 s before", setting{workers: 13, rng: 4, env: think("37ms"), lead: 3 * time.Second}},
		{"exponential, 10 workers, 1 rng", setting{workers: 10, rng: 1, env: exponential()}},
		{"exponential, 10 workers, 5 rng", setting{workers: 10, rng: 5, env: exponential()}},
		{"exponential, 10 workers, 5 rng, 0.5 s before", setting{workers: 10, rng: 5, env: exponential(), lead: 500 * time.Millisecond}},
		{"exponential, least connections, 16 workers, 4 rng", setting{workers: 16, rng: 4, balance: des.LeastConnections, env: exponential()}},
		{"constant, random, 10 workers, 2 rng", setting{workers: 10, rng: 2, balance: des.Random}},
		{"constant, random, 10 workers, 2 rng, 3 s before", setting{workers: 10, rng: 2, balance: des.Random, lead: 3 * time.Second}},
		{"jitter of 30 ms, 13 workers, 4 rng", setting{workers: 13, rng: 4, env: jitter("30ms")}},
	}
	for i := range all {
		all[i].setting.settle = settle
	}
	return all
}

// drawnSettings are settings with chance in them.
func drawnSettings(n int, seed uint64) (all []named) {
	random := rand.New(rand.NewPCG(seed, 4))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for len(all) < n {
		s := setting{workers: 2 + random.IntN(29), settle: 12 * time.Second, env: map[string]string{}}
		s.rng, s.hasher = 1+random.IntN(max(1, s.workers/2)), 1+s.workers/20
		s.balance = des.Balance(pick(string(des.RoundRobin), string(des.Random), string(des.LeastConnections)))
		kind, think := pick("constant", "exponential", "normal"), pick("10ms", "37ms", "100ms", "150ms", "250ms")
		if kind == "constant" && (s.balance != des.Random || s.rng == 1) {
			continue // no noise
		}
		switch kind {
		case "exponential":
			s.env = exponential()
		case "normal":
			s.env = jitter(pick("10ms", "30ms"))
		}
		s.env["worker/COIN_THINK"] = think
		s.lead = time.Duration(500*(1+random.IntN(20))) * time.Millisecond
		all = append(all, named{fmt.Sprintf("%s, %s, %d workers, %d rng, think %s, %s before", kind, s.balance, s.workers, s.rng, think, s.lead),
			s})
	}
	return all
}
