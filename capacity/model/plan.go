package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"coinbench/capacity"
	"coinbench/services/settings"
)

// Goal is what a plan has to meet.
type Goal struct {
	PerS     float64 `json:"hashes_per_s"`
	SLO      *SLO    `json:"slo,omitempty"` // of a visitor of rng's /
	Headroom float64 `json:"headroom"`      // the plan makes (1 + Headroom) times the target, 0..1 and beyond

	// Cost of one replica. What is not named costs 1.
	Cost map[string]float64 `json:"cost"`
}

// Required is the rate that a plan must make.
func (g Goal) Required() float64 { return g.PerS * (1 + g.Headroom) }

// SLO bounds the latency of a visitor of rng's / while the app works.
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

// ParseTarget reads "40 hashes/s", "40/s" or "40".
func ParseTarget(text string) (float64, error) {
	number := strings.TrimSpace(text)
	if i := strings.IndexFunc(number, func(r rune) bool { return unicode.IsLetter(r) || r == '/' || unicode.IsSpace(r) }); i >= 0 {
		unit := strings.ReplaceAll(number[i:], " ", "")
		number = number[:i]
		if unit != "hashes/s" && unit != "/s" && unit != "h/s" {
			return 0, fmt.Errorf("%q: unit %q; accepted: hashes/s (a coin is one hash in sixteen)", text, unit)
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0) || v > 1e6 {
		return 0, fmt.Errorf("%q is no rate; accepted: a number such as 40 hashes/s", text)
	}
	return v, nil
}

// ParseCost reads "rng=1,worker=0.5".
func ParseCost(text string) (map[string]float64, error) {
	cost := map[string]float64{settings.Worker: 1, settings.RNG: 1, settings.Hasher: 1}
	if strings.TrimSpace(text) == "" {
		return cost, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		v, err := strconv.ParseFloat(value, 64)
		if _, known := cost[name]; !known || err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("cost %q; accepted: SERVICE=NUMBER of worker, rng and hasher, such as rng=1,worker=0.5", pair)
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
	Capacity []CapacityRow `json:"capacity"` // capacity(replicas): the most that each number of rng carries
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
	RNG     int     `json:"rng"`
	Workers int     `json:"workers"` // from how many on there is no more
	PerS    float64 `json:"hashes_per_s"`
}

// limits of a search: beyond them the model says nothing useful.
const (
	mostReplicas = 200
	mostWorkers  = 2000
)

// Search finds the cheapest replicas that meet a goal. from holds what is not searched: think time, balancing, environment.
//
// It assumes that more workers never make fewer hashes, and more servers never either (both hold for the app); so for each number
// of rng and hashers it finds the least number of workers by bisection, between the asymptotic bound, below which it cannot be, and
// where the servers are full. Combinations whose bound costs more than the best so far are not tried.
func (m Model) Search(goal Goal, from Setting) (Plan, error) {
	p := Plan{Goal: goal}
	if goal.Cost == nil {
		goal.Cost, _ = ParseCost("")
		p.Goal.Cost = goal.Cost
	}
	all, err := m.candidates(goal, from, &p.Tried)
	if err != nil {
		return p, err
	}
	p.Best = all[0]
	if len(all) > 1 {
		p.RunnerUp = &all[1]
		p.Why = why(all[0], all[1])
	}
	for i, c := range append([]Candidate{p.Best}, all[1:min(2, len(all))]...) { // to the precision of a proof
		better, err := m.Predict(c.Setting, Options{Probe: probe, Runs: 12})
		if err != nil {
			return p, err
		}
		if i == 0 {
			p.Best.Prediction = better
		} else {
			p.RunnerUp.Prediction = better
		}
	}
	if p.Risks, err = m.risks(goal, p.Best.Setting); err != nil {
		return p, err
	}
	for _, share := range []float64{.25, .5, .75, 1, 1.25, 1.5, 2} {
		g := goal
		g.PerS, g.Headroom = goal.Required()*share, 0
		c, err := m.candidates(g, from, nil)
		if err != nil {
			break // beyond what can be had
		}
		p.Demand = append(p.Demand, Demand{PerS: g.PerS, Setting: c[0].Setting, Cost: c[0].Cost})
	}
	for r := 1; r <= p.Best.Setting.RNG+2; r++ {
		row, err := m.capacity(goal, from, r, p.Best.Setting.Hasher)
		if err != nil {
			return p, err
		}
		p.Capacity = append(p.Capacity, row)
	}
	return p, nil
}

// probe is the time between two visits while a plan is sought.
const probe = 47 * time.Millisecond

func (g Goal) price(s Setting) float64 {
	return float64(s.Workers)*g.Cost[settings.Worker] + float64(s.RNG)*g.Cost[settings.RNG] + float64(s.Hasher)*g.Cost[settings.Hasher]
}

// candidates are for each number of rng and hashers the fewest workers that do, the cheapest first.
func (m Model) candidates(goal Goal, from Setting, tried *int) ([]Candidate, error) {
	need := goal.Required()
	s := from
	s.Workers, s.RNG, s.Hasher = 1, 1, 1
	b, err := m.Bounds(s, need)
	if err != nil {
		return nil, err
	}
	least := func(d capacity.Demand) int {
		if d.Slots == 0 || d.DemandS <= 0 {
			return 1
		}
		return max(1, int(math.Ceil(need*d.DemandS/float64(d.Slots)-1e-9)))
	}
	rng, hasher := least(b.Demands[0]), least(b.Demands[1])
	workers := max(1, int(math.Ceil(need*b.LoopS-1e-9)))
	if rng > mostReplicas || hasher > mostReplicas || workers > mostWorkers {
		return nil, fmt.Errorf("plan: %.4g hashes/s need at least %d workers, %d rng and %d hashers, more than a plan may have (%d, %d and %d)",
			need, workers, rng, hasher, mostWorkers, mostReplicas, mostReplicas)
	}
	var all []Candidate
	cheapest := math.Inf(1)
	missed := ""
	for h := hasher; h <= hasher+1; h++ {
		for r := rng; r <= rng+max(8, rng/2); r++ {
			s := from
			s.Workers, s.RNG, s.Hasher = workers, r, h
			if goal.price(s) > 2*cheapest+1 {
				break // even without a queue it is no runner-up
			}
			c, ok, err := m.fewest(goal, s, tried)
			if err != nil {
				return nil, err
			}
			if !ok {
				missed = fmt.Sprintf("with %d rng and %s: %.3g hashes/s", r, plural(h, "hasher"), c.Prediction.HashRate)
				if goal.SLO != nil && c.Prediction.Probe != nil {
					v, _ := goal.SLO.Of(c.Prediction.Probe)
					missed += fmt.Sprintf(", %s %.0f ms", goal.SLO.Statistic, 1000*v)
				}
				continue
			}
			c.Cost = goal.price(c.Setting)
			cheapest = min(cheapest, c.Cost)
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("plan: nothing that was tried meets it; the last was " + missed)
	}
	slices.SortStableFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(b.Prediction.HashRate, a.Prediction.HashRate))
	})
	return all, nil
}

// fewest finds the fewest workers that meet a goal with the servers of s; s.Workers is a lower bound. ok is false when no number does.
func (m Model) fewest(goal Goal, s Setting, tried *int) (Candidate, bool, error) {
	o := Options{Runs: 3, Length: 15 * time.Second}
	if goal.SLO != nil {
		o.Probe = probe
	}
	at := func(n int) (Candidate, bool, error) {
		if tried != nil {
			*tried++
		}
		s.Workers = n
		p, err := m.Predict(s, o)
		meets := err == nil && p.HashRate >= goal.Required() && (goal.SLO == nil || goal.SLO.Met(p.Probe))
		return Candidate{Setting: s, Prediction: p}, meets, err
	}
	low := s.Workers
	c, ok, err := at(low)
	if ok || err != nil {
		return c, ok, err
	}
	// More workers make more hashes and longer queues: an objective of latency that is missed here stays missed.
	if goal.SLO != nil && !goal.SLO.Met(c.Prediction.Probe) {
		return c, false, nil
	}
	high := low
	for {
		high = min(high+max(2, high/8), mostWorkers)
		if c, ok, err = at(high); err != nil {
			return c, false, err
		} else if ok {
			break
		}
		full := c.Prediction.Bounds.Limit != capacity.WorkerLimit && float64(high) > 1.6**c.Prediction.Bounds.KneeWorkers
		if full || high == mostWorkers || goal.SLO != nil && !goal.SLO.Met(c.Prediction.Probe) {
			return c, false, nil
		}
	}
	best := c
	for low+1 < high {
		middle := (low + high) / 2
		c, ok, err := at(middle)
		if err != nil {
			return c, false, err
		}
		if ok {
			high, best = middle, c
		} else {
			low = middle
		}
	}
	return best, true, nil
}

func why(best, second Candidate) string {
	var more, fewer []string
	for _, d := range []struct {
		name string
		n    int
	}{{settings.Worker, second.Setting.Workers - best.Setting.Workers}, {settings.RNG, second.Setting.RNG - best.Setting.RNG}, {settings.Hasher, second.Setting.Hasher - best.Setting.Hasher}} {
		switch {
		case d.n > 0:
			more = append(more, fmt.Sprintf("%d %s more", d.n, d.name))
		case d.n < 0:
			fewer = append(fewer, fmt.Sprintf("%d %s fewer", -d.n, d.name))
		}
	}
	text := strings.Join(append(more, fewer...), ", ")
	if second.Cost == best.Cost {
		return fmt.Sprintf("it costs the same (%s) and makes less: %.1f against %.1f hashes/s", text, second.Prediction.HashRate, best.Prediction.HashRate)
	}
	return fmt.Sprintf("it costs %.3g more (%s)", second.Cost-best.Cost, text)
}

// risks are what is left when one replica dies.
func (m Model) risks(goal Goal, s Setting) ([]Risk, error) {
	var all []Risk
	for _, service := range []string{settings.RNG, settings.Hasher, settings.Worker} {
		left := s
		n := 0
		switch service {
		case settings.RNG:
			left.RNG--
			n = left.RNG
		case settings.Hasher:
			left.Hasher--
			n = left.Hasher
		default:
			left.Workers--
			n = left.Workers
		}
		r := Risk{Service: service, Left: left}
		if n == 0 {
			r.Text = fmt.Sprintf("the only %s dies: nothing is made until another runs, and each worker that met its absence stays silent for its back-off", service)
			all = append(all, r)
			continue
		}
		p, err := m.Predict(left, Options{Runs: 4})
		if err != nil {
			return nil, err
		}
		r.HashRate, r.Meets = p.HashRate, p.HashRate >= goal.PerS
		word := "which still meets the target"
		if !r.Meets {
			word = fmt.Sprintf("%.0f %% short of the target", 100*(1-p.HashRate/goal.PerS))
		}
		r.Text = fmt.Sprintf("one of %s dies and is out of rotation: %.1f hashes/s, %s", pluralOf(n+1, service), p.HashRate, word)
		if service == settings.RNG {
			r.Text += "; while it is dead in rotation, every worker meets it within " + plural(s.RNG, "loop") + " and is silent for its back-off"
		}
		all = append(all, r)
	}
	return all, nil
}

// pluralOf is "5 rng", "2 hashers".
func pluralOf(n int, service string) string {
	if service == settings.RNG {
		return strconv.Itoa(n) + " rng"
	}
	return plural(n, service)
}

// capacity is the most that so many rng and hashers make, whatever the workers.
func (m Model) capacity(goal Goal, from Setting, rng, hasher int) (CapacityRow, error) {
	s := from
	s.RNG, s.Hasher, s.Workers = rng, hasher, 1
	o := Options{Runs: 3}
	if goal.SLO != nil {
		o.Probe = probe
	}
	b, err := m.Bounds(s, 0)
	if err != nil {
		return CapacityRow{}, err
	}
	most := 1
	if saturation, service := b.Saturation(); service != "" {
		most = min(mostWorkers, int(math.Ceil(2*saturation*b.LoopS)))
	}
	row := CapacityRow{RNG: rng}
	for n := 1; n <= most; n += max(1, most/24) {
		s.Workers = n
		p, err := m.Predict(s, o)
		if err != nil {
			return row, err
		}
		if goal.SLO != nil && !goal.SLO.Met(p.Probe) {
			break
		}
		if p.HashRate > row.PerS*1.005 {
			row.PerS, row.Workers = p.HashRate, n
		}
	}
	return row, nil
}

// Grid is a what-if sweep: hash rates over workers and rng.
type Grid struct {
	Base    Setting     `json:"base"`
	Workers []int       `json:"workers"`
	RNG     []int       `json:"rng"`
	PerS    [][]float64 `json:"hash_rate_per_s"` // by rng, then workers
}

// Sweep predicts every combination of workers and rng.
func (m Model) Sweep(base Setting, workers, rng []int) (Grid, error) {
	g := Grid{Base: base, Workers: workers, RNG: rng}
	for _, r := range rng {
		var row []float64
		for _, n := range workers {
			s := base
			s.Workers, s.RNG = n, r
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
