package main

import (
	"fmt"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/reports"
)

// comparisons counts how often compare calls two runs of one system different, and one whose delay is 5 % longer.
func comparisons() table {
	return table{name: "compare", title: "Compare: the same system, and a delay 5 % longer",
		text: `
Ten runs of each system with three windows of 20 s, from ten seeds, all 45 pairs: the rows that ` + "`compare`" + ` calls different. Then the same
ten runs against ten whose rng takes 105 ms instead of 100 ms.`,
		rows: func() ([][]string, error) {
			rows := [][]string{{"system", "the same: rows that differ", "rng 5 % slower: rows that differ"}}
			for _, c := range []named{
				{"constant, 10 workers, 1 rng", setting{workers: 10, rng: 1}},
				{"jitter of 10 ms, 10 workers, 1 rng", setting{workers: 10, rng: 1, env: jitter("10ms")}},
				{"exponential, 10 workers, 5 rng", setting{workers: 10, rng: 5, env: exponential()}},
				{"exponential, 100 workers, 5 rng", setting{workers: 100, rng: 5, env: exponential()}},
				{"constant, random, 10 workers, 5 rng", setting{workers: 10, rng: 5, balance: des.Random}},
			} {
				c.setting.settle, c.setting.window, c.setting.windows = 10*time.Second, 20*time.Second, 3
				slower := c.setting
				slower.env = map[string]string{"rng/COIN_DELAY": "105ms"}
				for name, value := range c.setting.env {
					slower.env[name] = value
				}
				var as, bs []*capacity.Analysis
				for seed := range uint64(10) {
					for to, s := range map[*[]*capacity.Analysis]setting{&as: c.setting, &bs: slower} {
						run, err := s.play(seed + 1)
						if err != nil {
							return nil, err
						}
						a := capacity.Analyse(run)
						*to = append(*to, &a)
					}
				}
				same, sameRows, changed, changedRows := 0, 0, 0, 0
				for i, a := range as {
					for _, b := range as[:i] {
						n, of := differing(a, b)
						same, sameRows = same+n, sameRows+of
					}
					n, of := differing(a, bs[i])
					changed, changedRows = changed+n, changedRows+of
				}
				rows = append(rows, []string{c.name, fmt.Sprintf("%d of %d", same, sameRows), fmt.Sprintf("%d of %d", changed, changedRows)})
			}
			return rows, nil
		}}
}

// differing are the rows of a comparison that are called different, and all of them.
func differing(a, b *capacity.Analysis) (n, of int) {
	for _, r := range reports.Compare(a, b).Rows {
		of++
		if !r.Same {
			n++
		}
	}
	return n, of
}
