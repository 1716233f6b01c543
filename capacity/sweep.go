package capacity

import (
	"cmp"
	"slices"
	"strings"
)

// Sweep is a series of windows that differ in the replicas of one service.
type Sweep struct {
	Name    string       `json:"name"`
	Service string       `json:"service"`
	Points  []SweepPoint `json:"points"` // by replicas, ascending
}

// SweepPoint is one window of a sweep.
type SweepPoint struct {
	Window   string   `json:"window"`
	Replicas int      `json:"replicas"`
	PerS     float64  `json:"hash_rate_per_s"`
	Margin   *float64 `json:"margin,omitempty"` // half the width of the 95 % interval of PerS
	BoundS   float64  `json:"bound_per_s"`      // with the demands measured at this point
}

// sweeps finds the windows "<name>/<n>" that share a name and differ in one service's replicas.
func sweeps(windows []Window) []Sweep {
	var names []string
	groups := map[string][]*Window{}
	for i := range windows {
		w := &windows[i]
		if j := strings.LastIndex(w.Name, "/"); j > 0 && w.HashRate != nil {
			name := w.Name[:j]
			if groups[name] == nil {
				names = append(names, name)
			}
			groups[name] = append(groups[name], w)
		}
	}
	var all []Sweep
	for _, name := range names {
		group := groups[name]
		var varied []string
		for service := range group[0].Config.Replicas {
			if slices.ContainsFunc(group, func(w *Window) bool { return w.Config.Replicas[service] != group[0].Config.Replicas[service] }) {
				varied = append(varied, service)
			}
		}
		if len(group) < 2 || len(varied) != 1 {
			continue
		}
		s := Sweep{Name: name, Service: varied[0]}
		for _, w := range group {
			p := SweepPoint{Window: w.Name, Replicas: w.Config.Replicas[s.Service], PerS: w.HashRate.Value, Margin: w.HashRate.Margin()}
			if w.Bounds != nil {
				p.BoundS = w.Bounds.UpperPerS
			}
			s.Points = append(s.Points, p)
		}
		slices.SortStableFunc(s.Points, func(a, b SweepPoint) int { return cmp.Compare(a.Replicas, b.Replicas) })
		all = append(all, s)
	}
	return all
}

// Curve is the bounds of a sweep of the driver, from the demands that were measured at its points, each weighed by its hashes; nil
// for a sweep of another service. At gives the curve's points.
func (a *Analysis) Curve(s Sweep) *Bounds {
	if s.Service != a.Roles.Driver.Service {
		return nil
	}
	var total, think, overhead float64
	var demands []Demand
	n := 0
	for _, p := range s.Points {
		w := a.Window(p.Window)
		if w == nil || w.Bounds == nil || len(demands) > 0 && len(w.Bounds.Demands) != len(demands) {
			continue
		}
		if demands == nil {
			demands = slices.Clone(w.Bounds.Demands)
			for i := range demands {
				demands[i].DemandS = 0
			}
		}
		total += w.Hashes
		think += w.Bounds.ThinkS * w.Hashes
		overhead += w.Bounds.OverheadS * w.Hashes
		for i, d := range w.Bounds.Demands {
			demands[i].DemandS += d.DemandS * w.Hashes
		}
		n = max(n, p.Replicas)
	}
	if total == 0 {
		return nil
	}
	for i := range demands {
		demands[i].DemandS /= total
	}
	return ptr(NewBounds("measured", s.Service, n, think/total, overhead/total, demands))
}
