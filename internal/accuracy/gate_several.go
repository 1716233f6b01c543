package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"coinbench/capacity"
	"coinbench/capacity/gate"
)

// several are metrics that are judged together, and how a block's values come about.
type several struct {
	name    string
	metrics []gate.Metric
	// draw returns the values of a block whose metrics lose that share of what each tolerates or detects
	draw func(r *rand.Rand, loss []float64) []float64
}

func rolloutMetrics() []gate.Metric {
	return []gate.Metric{
		{Name: "availability(release)", Unit: gate.Share, Difference: true},
		{Name: "lost_requests(release)", Unit: "requests", Lower: true, Difference: true, Limits: &gate.Rule{Tolerate: 50, Detect: 150}},
		{Name: "p99(release)", Unit: "s", Lower: true, Limits: &gate.Rule{Tolerate: .05, Detect: .2}},
	}
}

// severals are a rollout's metrics, which depend on each other, and latencies that do not.
func severals() []several {
	rollout := several{name: "availability, lost requests and p99 of 5,000 requests", metrics: rolloutMetrics()}
	rollout.draw = func(r *rand.Rand, loss []float64) []float64 {
		failed := 0.0
		if r.Float64() < .3 { // one rollout of three meets a burst of failures
			failed = math.Floor(100 * r.ExpFloat64())
		}
		slow := 1 + failed/2000 // what fails is slow for the others as well
		return []float64{1 - failed/5000 - loss[0], failed + loss[1], .1 * slow * math.Exp(.03*r.NormFloat64()-math.Log1p(-loss[2]))}
	}
	latencies := several{name: "eight latencies that do not depend on each other", draw: func(r *rand.Rand, loss []float64) (v []float64) {
		for _, l := range loss {
			v = append(v, .1*math.Exp(.02*r.NormFloat64()-math.Log1p(-l)))
		}
		return v
	}}
	for i := range 8 {
		latencies.metrics = append(latencies.metrics, gate.Metric{Name: fmt.Sprintf("p99(load-%d)", i+1), Unit: "s", Lower: true})
	}
	return []several{rollout, latencies}
}

// losses are those of the metrics: what each tolerates, or nothing, or what the first alone is to be detected by.
func (s several) losses(of func(i int, r gate.Rule) float64) (loss []float64) {
	for i, m := range s.metrics {
		loss = append(loss, of(i, m.Rule(gate.DefaultRule())))
	}
	return loss
}

// play plays a gate; alone are the metrics one by one, without regard to each other.
func (s several) play(seed uint64, loss []float64) (v gate.Verdict, alone bool) {
	r := rand.New(rand.NewPCG(seed, 20261129))
	none := make([]float64, len(s.metrics))
	var blocks []gate.Block
	for {
		for range 4 {
			b := gate.Next(seed, "s", blocks)
			worse := none
			if b.Side == gate.Head {
				worse = loss
			}
			b.Values = s.draw(r, worse)
			blocks = append(blocks, b)
		}
		over := len(blocks) >= 2*gate.MostPairs
		for i, m := range s.metrics {
			if alone {
				break
			}
			only := make([]gate.Block, len(blocks))
			for j, b := range blocks {
				b.Values = b.Values[i : i+1]
				only[j] = b
			}
			alone = gate.Judge(gate.DefaultRule(), []gate.Metric{m}, only, over).Outcome == capacity.OutcomeFail
		}
		if v := gate.Judge(gate.DefaultRule(), s.metrics, blocks, over); v.Outcome != "" {
			return v, alone
		}
	}
}

// gateSeveral counts gates of several metrics.
func gateSeveral() table {
	return table{name: "gate-several", title: "Several metrics", text: `
4,000 gates in each row, of at most 24 pairs, of metrics that are judged together. Tolerated: head loses in every metric what is tolerated of it.
Detected: it loses in the first what is to be detected, and nothing in the others. One by one: the gates in which a metric fails that is
judged without regard to the others.`, rows: func() ([][]string, error) {
		rows := [][]string{{"metrics", "head loses", "FAIL", "PASS", "INCONCLUSIVE", "one by one"}}
		for _, s := range severals() {
			for _, c := range []struct {
				name string
				of   func(i int, r gate.Rule) float64
			}{
				{"nothing", func(int, gate.Rule) float64 { return 0 }},
				{"what is tolerated", func(_ int, r gate.Rule) float64 { return r.Tolerate }},
				{"in the first what is to be detected", func(i int, r gate.Rule) float64 {
					if i == 0 {
						return r.Detect
					}
					return 0
				}},
			} {
				p, alone := gatesPlayed{n: gates / 5}, 0
				for seed := range uint64(p.n) {
					v, one := s.play(seed+1, s.losses(c.of))
					switch v.Outcome {
					case capacity.OutcomeFail:
						p.fail++
					case capacity.OutcomePass:
						p.pass++
					}
					if one {
						alone++
					}
				}
				rows = append(rows, []string{s.name, c.name, p.share(p.fail), p.share(p.pass), share(p.n-p.fail-p.pass, p.n), share(alone, p.n)})
			}
		}
		return rows, nil
	}}
}
