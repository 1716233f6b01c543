package model

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/internal/visible"
)

// Goal is what a plan has to meet.
type Goal struct {
	PerS     float64 `json:"hashes_per_s"`
	SLO      *SLO    `json:"slo,omitempty"` // of a visitor of the first station's /
	Headroom float64 `json:"headroom"`      // the plan makes (1 + Headroom) times the target, 0..1 and beyond

	// Cost of one replica. What is not named costs 1.
	Cost map[string]float64 `json:"cost"`
}

// Required is the rate that a plan must make.
func (g Goal) Required() float64 { return g.PerS * (1 + g.Headroom) }

// SLO bounds the latency of a visitor of the first station's / while the app works.
type SLO struct {
	Statistic string  `json:"statistic"` // mean, p50, p90, p95, p99 or max
	AtMostS   float64 `json:"at_most_s"`
}

func (s SLO) String() string {
	return fmt.Sprintf("%s <= %s", s.Statistic, time.Duration(s.AtMostS*float64(time.Second)))
}

// ParseSLO reads "p99 <= 300ms".
func ParseSLO(text string) (SLO, error) {
	const accepted = "accepted: mean, p50, p90, p95, p99 or max, then <= and a duration, such as p99 <= 300ms"
	name, value, ok := strings.Cut(text, "<=")
	s := SLO{Statistic: strings.TrimSpace(name)}
	if _, known := s.Of(&capacity.Latency{}); !ok || !known {
		return s, fmt.Errorf("%q is no objective; %s", text, accepted)
	}
	d, err := time.ParseDuration(strings.TrimSpace(value))
	if err != nil || d <= 0 {
		return s, fmt.Errorf("%q is no duration; %s", strings.TrimSpace(value), accepted)
	}
	s.AtMostS = d.Seconds()
	return s, nil
}

// Of is the statistic of a distribution; false when the statistic is unknown.
func (s SLO) Of(l *capacity.Latency) (float64, bool) {
	switch s.Statistic {
	case "mean":
		return l.MeanS, true
	case "p50":
		return l.P50S, true
	case "p90":
		return l.P90S, true
	case "p95":
		return l.P95S, true
	case "p99":
		return l.P99S, true
	case "max":
		return l.MaxS, true
	}
	return 0, false
}

// Met says whether a distribution meets the objective.
func (s SLO) Met(l *capacity.Latency) bool {
	if l == nil {
		return false
	}
	v, _ := s.Of(l)
	return v <= s.AtMostS
}

// ParseTarget reads "40 hashes/s", "40/s", "40" or "1e3".
func ParseTarget(text string) (float64, error) {
	number, unit := strings.TrimSpace(text), ""
	if end := numberRE.FindString(number); end != "" {
		number, unit = end, strings.Join(strings.Fields(number[len(end):]), "")
	}
	if !slices.Contains([]string{"", "hashes/s", "h/s", "/s"}, unit) {
		return 0, fmt.Errorf("%q: unit %q; accepted: hashes/s (a coin is one hash in sixteen)", text, unit)
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0) || v > 1e6 {
		return 0, fmt.Errorf("%q is no rate; accepted: a number such as 40 hashes/s, at most 1e6", text)
	}
	return v, nil
}

var numberRE = regexp.MustCompile(`^[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?`)

// ParseCost reads such as "rng=1,worker=0.5".
func ParseCost(roles history.Roles, text string) (map[string]float64, error) {
	driver, first, last := parts(roles)
	cost := map[string]float64{driver.Service: 1, first.Service: 1, last.Service: 1}
	if strings.TrimSpace(text) == "" {
		return cost, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		v, err := strconv.ParseFloat(value, 64)
		if _, known := cost[name]; !known || err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("cost %q; accepted: SERVICE=NUMBER of %[2]s, %[3]s and %[4]s, such as %[3]s=1,%[2]s=0.5", pair,
				driver.Service, first.Service, last.Service)
		}
		cost[name] = v
	}
	return cost, nil
}

// Candidate is a number of replicas with its price and what it makes.
type Candidate struct {
	Setting    Setting    `json:"setting"`
	Cost       float64    `json:"cost"`
	Prediction Prediction `json:"prediction"`
	// WaitSD is the standard deviation of the objective's statistic over single runs, in seconds; 0 without an objective.
	WaitSD float64 `json:"objective_spread_s,omitempty"`
}

// Plan is the answer to a Goal.
type Plan struct {
	Goal     Goal          `json:"goal"`
	Best     Candidate     `json:"best"`
	RunnerUp *Candidate    `json:"runner_up,omitempty"`
	Why      string        `json:"why"` // the runner-up is second
	Risks    []Risk        `json:"risks"`
	Tried    int           `json:"tried"`
	Demand   []Demand      `json:"demand"`   // demand(load): the least that carries each load
	Capacity []CapacityRow `json:"capacity"` // capacity(replicas): the most that each number of the first station carries
}

// Risk is what is left when one replica dies and is taken out of rotation.
type Risk struct {
	Service  string  `json:"service"`
	Left     Setting `json:"left"`
	HashRate float64 `json:"hash_rate_per_s"`
	Meets    bool    `json:"meets"` // the target, without headroom
	Text     string  `json:"text"`
}

// Demand is the metric demand(load) of Theodolite (Henning and Hasselbring, "How to Measure Scalability of Distributed Stream Processing
// Engines?", 2021): the least resources with which a load meets its objectives.
type Demand struct {
	PerS    float64 `json:"hashes_per_s"`
	Setting Setting `json:"setting"`
	Cost    float64 `json:"cost"`
}

// CapacityRow is the metric capacity(resources) of the same: the greatest load that the resources carry within their objectives.
type CapacityRow struct {
	First   int     `json:"first"`   // replicas of the first station
	Drivers int     `json:"drivers"` // the fewest that make it
	PerS    float64 `json:"hashes_per_s"`
}

// limits of a search: beyond them the model says nothing useful.
const (
	mostReplicas = 200
	mostWorkers  = 2000
	mostBeyond   = 60 // workers of a load beyond the target, for the table of demand
)

// Search finds the cheapest replicas that meet a goal. from holds what is not searched: think time, balancing, environment. What is
// predicted is what the scenario setting measures, in runs as long as o says.
func (m Model) Search(goal Goal, from Setting, o Options) (Plan, error) {
	if goal.Cost == nil {
		goal.Cost, _ = ParseCost(m.Roles, "")
	}
	p := Plan{Goal: goal}
	if o.Probe == 0 {
		o.Probe = probe
	}
	x := searcher{model: m, goal: goal, from: from, options: o, samples: map[replicas]*sample{}}
	found, err := x.cheapest(goal.Required(), 2)
	if err != nil {
		return p, err
	}
	p.Tried = len(x.samples)
	if p.Best, err = x.candidate(found[0]); err != nil {
		return p, err
	}
	if len(found) > 1 {
		second, err := x.candidate(found[1])
		if err != nil {
			return p, err
		}
		p.RunnerUp, p.Why = &second, why(p.Best, second)
	}
	if p.Risks, err = x.risks(found[0]); err != nil {
		return p, err
	}
	for _, share := range []float64{.25, .5, .75, 1, 1.25, 1.5, 2} {
		need := goal.Required() * share
		if least, err := x.least(need); err != nil || share > 1 && least.drivers > mostBeyond {
			break // beyond what can be had, or what is quick
		}
		found, err := x.cheapest(need, 1)
		if err != nil {
			break // nothing meets the objective
		}
		s := x.setting(found[0])
		p.Demand = append(p.Demand, Demand{PerS: need, Setting: s, Cost: goal.Price(s)})
	}
	for r := 1; r <= found[0].first+2; r++ {
		if r < found[0].first-2 && r%(1+found[0].first/8) != 0 {
			continue // enough to see the shape
		}
		row, err := x.capacity(r, found[0].last)
		if err != nil {
			return p, err
		}
		p.Capacity = append(p.Capacity, row)
	}
	return p, nil
}

// probe is the time between two visits while a plan is sought.
const probe = 47 * time.Millisecond

// Price is the cost of a setting.
func (g Goal) Price(s Setting) float64 {
	driver, first, last := s.Parts()
	return float64(s.Drivers)*g.Cost[driver.Service] + float64(s.First)*g.Cost[first.Service] + float64(s.Last)*g.Cost[last.Service]
}

func why(best, second Candidate) string {
	driver, first, last := best.Setting.Parts()
	var more, fewer []string
	for _, d := range []struct {
		name string
		n    int
	}{{driver.Service, second.Setting.Drivers - best.Setting.Drivers}, {first.Service, second.Setting.First - best.Setting.First},
		{last.Service, second.Setting.Last - best.Setting.Last}} {
		switch {
		case d.n > 0:
			more = append(more, fmt.Sprintf("%d %s more", d.n, d.name))
		case d.n < 0:
			fewer = append(fewer, fmt.Sprintf("%d %s fewer", -d.n, d.name))
		}
	}
	text := strings.Join(append(more, fewer...), ", ")
	if second.Cost > best.Cost {
		return fmt.Sprintf("it costs %s more (%s)", visible.Significant(second.Cost-best.Cost, 3), text)
	}
	a, b := best.Prediction, second.Prediction
	switch d := a.HashRate - b.HashRate; {
	case math.Abs(d) <= max(Tie*a.HashRate, 2*math.Hypot(a.Spread/math.Sqrt(float64(a.Runs)), b.Spread/math.Sqrt(float64(b.Runs)))):
		return fmt.Sprintf("it costs and makes the same (%s)", text)
	case d < 0:
		return fmt.Sprintf("it makes more and costs the same, with more replicas (%s)", text)
	}
	return fmt.Sprintf("it costs the same (%s) and makes less", text)
}

// Grid is a what-if sweep: hash rates over replicas of the driver and of the first station.
type Grid struct {
	Base    Setting     `json:"base"`
	Drivers []int       `json:"drivers"`
	First   []int       `json:"first"`
	PerS    [][]float64 `json:"hash_rate_per_s"` // by those of the first station, then of the driver
}

// Sweep predicts every combination of replicas of the driver and of the first station.
func (m Model) Sweep(base Setting, drivers, first []int) (Grid, error) {
	g := Grid{Base: base, Drivers: drivers, First: first}
	for _, r := range first {
		var row []float64
		for _, n := range drivers {
			s := base
			s.Drivers, s.First = n, r
			p, err := m.Predict(s, Options{Runs: 2, Length: 15 * time.Second})
			if err != nil {
				return g, err
			}
			row = append(row, p.HashRate)
		}
		g.PerS = append(g.PerS, row)
	}
	return g, nil
}
