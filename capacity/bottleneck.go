package capacity

import (
	"fmt"
	"math"

	"coinbench/services/settings"
)

// saturated is the utilisation from which on a server counts as the limit.
const saturated = 0.9

// unspread is by how much the busiest replica's utilisation exceeds the service's when connections are not spread; chance
// alone makes a few points.
const unspread = 0.1

// Bottleneck says what limits the hash rate of a window, on what evidence, and what would limit it next.
type Bottleneck struct {
	Limit     string  `json:"limit"`          // worker, rng or hasher
	Task      string  `json:"task,omitempty"` // the one replica that is saturated while the others are not
	Evidence  string  `json:"evidence"`
	BoundPerS float64 `json:"bound_per_s"`    // the lowest bound
	Attained  float64 `json:"attained"`       // hash rate / bound
	Next      []Next  `json:"next,omitempty"` // the limits after this one, each after the change before it
	Try       string  `json:"try"`            // one change
}

// Next is a limit that appears after a change.
type Next struct {
	Change    string  `json:"change"` // e.g. "rng 1 → 4"
	Limit     string  `json:"limit"`
	BoundPerS float64 `json:"bound_per_s"`
}

func (w *Window) findBottleneck() {
	if w.Bounds == nil || w.HashRate == nil {
		return
	}
	b := *w.Bounds
	k := &Bottleneck{Limit: WorkerLimit, BoundPerS: b.UpperPerS}
	if b.UpperPerS > 0 {
		k.Attained = w.HashRate.Value / b.UpperPerS
	}
	var hot *ServiceUse
	for i := range w.Services {
		u := &w.Services[i]
		if u.Hottest != nil && *u.Hottest >= saturated && u.Requests > 0 && (hot == nil || *u.Hottest > *hot.Hottest) {
			hot = u
		}
	}
	switch {
	case hot != nil && *hot.Utilisation >= saturated && *hot.BoundPerS <= 1.02*b.WorkerPerS:
		k.Limit = hot.Service
		k.Evidence = fmt.Sprintf("%s is busy %s of the time and allows %s", hot.Service, percent(*hot.Utilisation), perSecond(*hot.BoundPerS))
		if hot.WaitS != nil && *hot.WaitS >= .001 {
			k.Evidence += fmt.Sprintf("; a worker waits %s for it in each loop", milliseconds3(*hot.WaitS))
		}
	case hot != nil && !hot.replaced && *hot.Hottest-*hot.Utilisation >= unspread:
		k.Limit, k.Task = hot.Service, hot.HottestTask
		k.Evidence = fmt.Sprintf("%s is busy %s of the time while %s as a whole is busy %s: the connections are not spread over the replicas",
			hot.HottestTask, percent(*hot.Hottest), hot.Service, percent(*hot.Utilisation))
	default:
		k.Evidence = w.workerEvidence(b, k.Attained)
	}
	k.Next, k.Try = w.next(b, k)
	w.Bottleneck = k
}

// workerEvidence says why the workers' own loop is the limit.
func (w *Window) workerEvidence(b Bounds, attained float64) string {
	u, name := busiest(w.Services)
	s := fmt.Sprintf("the busiest server, %s, is busy %s of the time", name, percent(u))
	if w.Backoffs > 0 {
		return s + fmt.Sprintf("; the workers went silent %s after errors", times(w.Backoffs))
	}
	s += fmt.Sprintf("; %s of %s each make at most %s", count(b.Workers, "loop"), milliseconds3(b.LoopS), perSecond(b.WorkerPerS))
	if attained < .97 {
		wait := w.Loop.TotalS - b.LoopS
		if !w.Config.inTurn() {
			s += fmt.Sprintf("; %s of each loop is spent waiting although servers are free, which %s balancing does", milliseconds3(wait), w.Config.Balance)
		} else {
			s += fmt.Sprintf("; %s of each loop goes to queues, connections and transfers", milliseconds3(wait))
		}
	}
	return s
}

func busiest(services []ServiceUse) (utilisation float64, service string) {
	for _, s := range services {
		if s.Utilisation != nil && (service == "" || *s.Utilisation > utilisation) {
			utilisation, service = *s.Utilisation, s.Service
		}
	}
	return utilisation, service
}

// next plays the changes forward on the bounds: a service that limits gets as many replicas as the next limit needs, workers that
// limit are added up to the knee.
func (w *Window) next(b Bounds, k *Bottleneck) ([]Next, string) {
	var all []Next
	limit := k.Limit
	if k.Task != "" {
		all = append(all, Next{Change: "spread the connections over the replicas", Limit: b.Limit, BoundPerS: b.UpperPerS})
		limit = b.Limit
	}
	for len(all) < 3 {
		var change string
		if limit == WorkerLimit {
			if b.KneeWorkers == nil {
				break
			}
			_, service := b.Saturation()
			n := int(math.Ceil(*b.KneeWorkers - 1e-6))
			if n <= b.Workers {
				n = b.Workers + 1
			}
			change = fmt.Sprintf("workers %d → %d", b.Workers, n)
			b, limit = b.At(n), service
		} else {
			from := 0
			needed := b.WorkerPerS
			var d Demand
			for _, x := range b.Demands {
				if x.Service == limit {
					d, from = x, x.Replicas
				} else if x.BoundPerS != nil {
					needed = min(needed, *x.BoundPerS)
				}
			}
			if from == 0 || d.Slots == 0 {
				break
			}
			// Demands are measured, so a replica more for half a percent would be noise.
			to := int(math.Ceil(needed*d.DemandS/float64(d.Slots/d.Replicas) - .02))
			if to <= from {
				to = from + 1
			}
			change = fmt.Sprintf("%s %d → %d", limit, from, to)
			b = b.With(limit, to)
			if s, service := b.Saturation(); s < b.WorkerPerS*.98 {
				limit = service
			} else {
				limit = WorkerLimit
			}
		}
		all = append(all, Next{Change: change, Limit: limit, BoundPerS: b.UpperPerS})
	}
	try := ""
	switch {
	case k.Task != "" && w.Config.KeepAlive:
		try = "Open a new connection for each call (keep-alive off), so that the balancer can spread them."
	case k.Task != "" && !w.Config.inTurn():
		try = "Balance " + k.Limit + " round robin: the same servers then carry " + perSecond(b.UpperPerS) + "."
	case k.Task != "":
		try = "Find out why " + k.Task + " gets more than its share: connections are new for each call, and handed out in turn."
	case k.Limit == WorkerLimit && w.Backoffs > 0:
		try = "Shorten the back-off, or take a dead replica out of rotation sooner."
	case k.Limit == WorkerLimit && k.Attained < .97 && !w.Config.inTurn():
		try = "Balance " + settings.RNG + " round robin: the same servers then carry " + perSecond(k.BoundPerS) + "."
	case k.Limit == WorkerLimit && w.Bounds.ThinkS >= .25*w.Bounds.LoopS:
		d := w.Bounds.LoopS - w.Bounds.ThinkS/2
		bound := float64(w.Bounds.Workers) / d
		if s, _ := w.Bounds.Saturation(); s > 0 {
			bound = min(bound, s)
		}
		try = fmt.Sprintf("Halve the think time (%s of a loop of %s): the bound becomes %s.", milliseconds3(w.Bounds.ThinkS), milliseconds3(w.Bounds.LoopS), perSecond(bound))
		if len(all) > 0 {
			try += fmt.Sprintf(" Or add workers (%s): %s then limits at %s.", all[0].Change, all[0].Limit, perSecond(all[0].BoundPerS))
		}
	case k.Limit == WorkerLimit && len(all) > 0:
		try = fmt.Sprintf("Add workers (%s): %s then limits at %s.", all[0].Change, all[0].Limit, perSecond(all[0].BoundPerS))
	case len(all) > 0:
		name := all[0].Limit
		if name == WorkerLimit {
			name = "the workers' own loop"
		}
		try = fmt.Sprintf("Scale %s: %s then limits at %s.", all[0].Change, name, perSecond(all[0].BoundPerS))
	}
	return all, try
}

func percent(ratio float64) string { return fmt.Sprintf("%.0f %%", 100*ratio) }

func perSecond(v float64) string { return significant(v) + " hashes/s" }

// significant writes a number with three significant digits and no exponent.
func significant(v float64) string {
	a := math.Abs(v)
	switch {
	case a == 0:
		return "0"
	case a < 9.995:
		return fmt.Sprintf("%.2f", v)
	case a < 99.95:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

func milliseconds3(s float64) string { return significant(s*1000) + " ms" }

func times(n float64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%.0f times", n)
}
