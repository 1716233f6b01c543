package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity/des"
	"coinbench/capacity/dockercoins"
	"coinbench/capacity/model"
	"coinbench/services/settings"
)

// planning holds the planner against trying everything.
func planning() table {
	return table{name: "plan", title: "Plan: against trying everything",
		text: `
Targets on, below and above a knee, with several costs, balancings, think times, delays (constant or exponential) and objectives, all
drawn. The plan is compared with every setting that is cheaper and that the asymptotic bounds allow, each played anew with other seeds, in
up to four sets of eight runs. A set says that a setting meets the goal or that it does not; where sets disagree, or the rate of all is
within two standard errors of the target, it meets the goal within the spread of runs. The plan is *right* where all sets say that it meets the goal and that nothing cheaper does, *a tie* where
they do not tell one of these, and *wrong* otherwise. The last column but one counts the cheaper settings that were played.`,
		rows: func() ([][]string, error) { return plans(30, 7, 4) }}
}

// plans plays n targets on the knees of 1 to a number of rng.
func plans(n int, seed uint64, rng int) ([][]string, error) {
	rows := [][]string{{"target", "delays", "think", "balancing", "objective", "costs of worker, rng, hasher", "plan: workers, rng, hashers",
		"its cost", "predicted", "cheaper, played", "verdict"}}
	for i := range n {
		d := drawPlan(rand.New(rand.NewPCG(seed, uint64(i))), rng)
		row, err := d.row()
		if err != nil {
			return nil, fmt.Errorf("target %d: %w", i+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// drawn is a goal, and what it is to be met with.
type drawn struct {
	model model.Model
	goal  model.Goal
	from  model.Setting
	kind  string // of delays
}

func drawPlan(r *rand.Rand, rng int) drawn {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	d := drawn{kind: pick("constant", "constant", "exponential")}
	env := map[string]string{"COIN_DELAY_DISTRIBUTION": d.kind}
	d.model = model.Model{Version: model.Version, Roles: dockercoins.Roles(), Environment: map[string]map[string]string{settings.RNG: env,
		settings.Hasher: env,
		settings.Worker: {}}}
	think, _ := time.ParseDuration(pick("10ms", "37ms", "100ms", "200ms"))
	d.from = model.Setting{Think: think, Balance: pick(string(des.RoundRobin), string(des.RoundRobin), string(des.LeastConnections),
		string(des.Random))}
	knee := 10 * float64(1+r.IntN(rng))
	switch r.IntN(3) {
	case 0:
		knee *= .8 + .19*r.Float64()
	case 1:
		knee *= 1.01 + .2*r.Float64()
	}
	d.goal.PerS, _ = strconv.ParseFloat(fmt.Sprintf("%.3g", knee), 64)
	d.goal.Cost, _ = model.ParseCost(d.model.Roles, pick("", "", "worker=0.5", "rng=2", "worker=2,hasher=0.25"))
	if text := pick("", "", "mean <= 30ms", "p90 <= 80ms", "p99 <= 250ms"); text != "" {
		slo, _ := model.ParseSLO(text)
		d.goal.SLO = &slo
	}
	return d
}

func (d drawn) row() ([]string, error) {
	plan, err := d.model.Search(d.goal, d.from, model.Options{})
	if err != nil {
		return nil, err
	}
	best := plan.Best
	verdict := "right"
	switch meets, err := d.meets(best.Setting); {
	case err != nil:
		return nil, err
	case meets == within:
		verdict = "a tie"
	case meets == no:
		verdict = "wrong: it misses"
	}
	if p := best.Prediction; p.HashRate < d.goal.PerS*(1-model.Tie) || d.goal.SLO != nil && !d.goal.SLO.Met(p.Probe) {
		verdict = "wrong: its own prediction misses"
	}
	played := 0
	for _, s := range d.cheaper(best.Cost) {
		b, err := d.model.Bounds(s, d.goal.PerS)
		if err != nil {
			return nil, err
		}
		if b.UpperPerS < d.goal.PerS*(1-model.Tie) {
			continue
		}
		played++
		meets, err := d.meets(s)
		if err != nil {
			return nil, err
		}
		if meets == yes {
			verdict = fmt.Sprintf("wrong: %d workers, %d rng and %d hashers do", s.Drivers, s.First, s.Last)
			break
		}
		if meets == within && verdict == "right" {
			verdict = "a tie"
		}
	}
	slo := "none"
	if d.goal.SLO != nil {
		slo = strings.ReplaceAll(d.goal.SLO.String(), "<=", "≤")
	}
	s, cost := best.Setting, d.goal.Cost
	return []string{fmt.Sprint(d.goal.PerS), d.kind, s.Think.String(), s.Balance, slo, fmt.Sprintf("%g, %g, %g", cost[settings.Worker],
		cost[settings.RNG], cost[settings.Hasher]),
		fmt.Sprintf("%d, %d, %d", s.Drivers, s.First, s.Last), fmt.Sprint(best.Cost), fmt.Sprintf("%.2f",
			best.Prediction.HashRate), fmt.Sprint(played), verdict}, nil
}

// mostHashers is how many are tried: one serves twenty at once, and no target that is drawn keeps more than eight busy.
const mostHashers = 2

// cheaper are all settings that cost less.
func (d drawn) cheaper(cost float64) []model.Setting {
	each := d.goal.Cost
	var all []model.Setting
	for n := 1; float64(n)*each[settings.Worker] < cost; n++ {
		for r := 1; float64(n)*each[settings.Worker]+float64(r)*each[settings.RNG] < cost; r++ {
			for h := 1; h <= mostHashers &&
				float64(n)*each[settings.Worker]+float64(r)*each[settings.RNG]+float64(h)*each[settings.Hasher] < cost-1e-9; h++ {
				s := d.from
				s.Drivers, s.First, s.Last = n, r, h
				all = append(all, s)
			}
		}
	}
	return all
}

type answer int

const (
	no answer = iota
	yes
	within // the spread of runs
)

// meets plays a setting with seeds that the planner did not have.
func (d drawn) meets(s model.Setting) (answer, error) {
	const sets, runs = 4, 8
	said, mean, spread := no, 0., 0.
	for i := range uint64(sets) {
		o := model.Options{Runs: runs, Seed: 1000 * (i + 1)}
		if d.goal.SLO != nil {
			o.Probe = 47 * time.Millisecond
		}
		p, err := d.model.Predict(s, o)
		if err != nil {
			return no, err
		}
		if p.HashRate+3*p.Spread < d.goal.PerS*.99 {
			return no, nil // far from it
		}
		now := no
		if p.HashRate >= d.goal.PerS*(1-model.Tie) && (d.goal.SLO == nil || d.goal.SLO.Met(p.Probe)) {
			now = yes
		}
		if i > 0 && now != said {
			return within, nil
		}
		said, mean, spread = now, mean+p.HashRate/sets, p.Spread
	}
	if off := math.Abs(mean - d.goal.PerS*(1-model.Tie)); off < 2*spread/math.Sqrt(sets*runs) {
		return within, nil
	}
	return said, nil
}
