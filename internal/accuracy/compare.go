package main

import (
	"fmt"
	"maps"
	"strings"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/reports"
)

// comparedScenario measures a window of the workers alone, a bench and an attack of rng.
const comparedScenario = `
name: compared
parameters:
  workers: {default: 10, doc: How many.}
  rng: {default: 5, doc: Its replicas.}
  delay: {default: 100ms, doc: Of a request to rng.}
  distribution: {default: constant, doc: Of the delays of rng and hasher.}
  jitter: {default: 0s, doc: Of the same.}
  balance: {default: round-robin, doc: Of connections to rng.}
  clients: {default: 6, doc: Of the bench.}
  rate: {default: 'poisson(30/s)', doc: Of the attack.}
  for: {default: 20s, doc: Length of window and loads.}
steps:
  - deploy:
      webui: 0
      worker: "${workers}"
      hasher: {replicas: 1, environment: {COIN_DELAY_DISTRIBUTION: "${distribution}", COIN_DELAY_JITTER: "${jitter}"}}
      rng: {replicas: "${rng}", balance: "${balance}", environment: {COIN_DELAY: "${delay}", COIN_DELAY_DISTRIBUTION: "${distribution}", COIN_DELAY_JITTER: "${jitter}"}}
  - measure: {name: mining, settle: 5s, for: "${for}"}
  - scale: {worker: 0}
  - bench: {name: bench, service: rng, path: /10, clients: "${clients}", for: "${for}"}
  - wait: 1s
  - attack: {name: attack, service: rng, path: /10, rate: "${rate}", for: "${for}"}
`

// comparisons counts how often compare calls two runs of one system different, and one whose delay is 5 % longer.
func comparisons() table {
	return table{name: "compare", title: "Compare: the same system, and a delay 5 % longer",
		text: `
Ten runs of each system, from ten seeds: a window of the workers alone, a bench of six clients and an attack of 30 requests a second at random, both of rng,
of 20 s each. All 45 pairs of the ten: the rows that ` + "`compare`" + ` calls different; at most 5 % may be, and 1 % is what its test asks for. Then the same ten
runs against ten others (from other seeds) whose rng takes 105 ms instead of 100 ms: in how many of the ten pairs each row was different, and in brackets the
change that it says it would have seen, in the mean. A change of the delay by 5 % is one of the hash rate by less where rng does not limit it, and one of no throughput where
a schedule sets it.`,
		rows: func() ([][]string, error) {
			rows := [][]string{{"system", "the same: rows that differ"}}
			named := []string{"hash rate", "rng service", "bench throughput", "bench p50", "bench p99", "attack throughput", "attack p50",
				"attack p99"}
			for _, n := range named {
				rows[0] = append(rows[0], "slower: "+n)
			}
			for _, c := range []struct {
				name string
				set  map[string]string
			}{
				{"constant, 10 workers, 1 rng", map[string]string{"rng": "1", "rate": "poisson(7/s)"}},
				{"constant, random, 10 workers, 5 rng", map[string]string{"balance": "random"}},
				{"jitter of 10 ms, 10 workers, 5 rng", map[string]string{"distribution": "normal", "jitter": "10ms"}},
				{"exponential, 10 workers, 5 rng", map[string]string{"distribution": "exponential"}},
			} {
				slower := maps.Clone(c.set)
				if slower == nil {
					slower = map[string]string{}
				}
				slower["delay"] = "105ms"
				var as, bs []*capacity.Analysis
				for seed := range uint64(10) {
					for k, set := range []map[string]string{c.set, slower} {
						err := recorded(comparedScenario, 100*uint64(k)+seed+1, set, func(dir string) error {
							run, err := history.Open(dir)
							if err != nil {
								return err
							}
							a := capacity.Measure(run)
							if k == 0 {
								as = append(as, &a)
							} else {
								bs = append(bs, &a)
							}
							return nil
						})
						if err != nil {
							return nil, fmt.Errorf("%s: %w", c.name, err)
						}
					}
				}
				same, of := 0, 0
				for i, a := range as {
					for _, b := range as[:i] {
						for _, r := range reports.Compare(a, b).Rows {
							of++
							if !r.Same {
								same++
							}
						}
					}
				}
				seen, visible, known := map[string]int{}, map[string]float64{}, map[string]float64{}
				for i, a := range as {
					for _, r := range reports.Compare(a, bs[i]).Rows {
						if !r.Same {
							seen[label(r)]++
						}
						if r.Visible != nil {
							visible[label(r)] += 100 * *r.Visible
							known[label(r)]++
						}
					}
				}
				row := []string{c.name, fmt.Sprintf("%d of %d", same, of)}
				for _, n := range named {
					cell := fmt.Sprintf("%d", seen[n])
					if known[n] > 0 {
						cell += fmt.Sprintf(" (%.1f %%)", visible[n]/known[n])
					}
					row = append(row, cell)
				}
				rows = append(rows, row)
			}
			return rows, nil
		}}
}

// label names a row of a comparison.
func label(r reports.ComparedValue) string {
	return strings.NewReplacer("mining ", "", "/c6", "").Replace(r.Name + " " + r.What)
}
