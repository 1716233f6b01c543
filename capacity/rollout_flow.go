package capacity

import (
	"math"

	"coinbench/history"
)

// Flow is a load over time: what was answered, by version, and what failed, by class, per second, in bins of the same length.
type Flow struct {
	Load     string                      `json:"load"`
	Service  string                      `json:"service"`
	BinS     float64                     `json:"bin_s"`
	BeginS   float64                     `json:"begin_s"` // of the first bin
	Answered map[string][]float64        `json:"answered_per_s"`
	Failed   map[history.Class][]float64 `json:"failed_per_s,omitempty"`
}

// mostBins is how many points of a flow are worth drawing.
const mostBins = 160

// flows are the loads that met a rollout or a fault and were kept request by request.
func flows(run *history.Run, rollouts []Rollout) (all []Flow) {
	met := map[string]bool{}
	for _, r := range rollouts {
		for _, l := range r.Loads {
			met[l.Load] = met[l.Load] || l.Requests > 0
		}
	}
	for _, l := range run.Loads {
		if !met[l.Name] || len(l.Samples) == 0 {
			continue
		}
		end := l.Samples[0].Done
		for _, s := range l.Samples {
			end = max(end, s.Done)
		}
		f := Flow{Load: l.Name, Service: l.Service, BinS: .1, BeginS: l.Begin.Seconds(), Answered: map[string][]float64{}, Failed: map[history.Class][]float64{}}
		length := (end - l.Begin).Seconds()
		for _, b := range []float64{.1, .2, .5, 1, 2, 5, 10, 30, 60, 300} {
			if f.BinS = b; length/b <= mostBins {
				break
			}
		}
		n := int(math.Ceil(length/f.BinS)) + 1
		for _, s := range l.Samples {
			i := min(max(0, int((s.Done-l.Begin).Seconds()/f.BinS)), n-1)
			switch {
			case s.Class == history.OK:
				add(f.Answered, s.Version, i, n, 1/f.BinS)
			case bad(s):
				add(f.Failed, s.Class, i, n, 1/f.BinS)
			}
		}
		all = append(all, f)
	}
	return all
}

func add[K comparable](to map[K][]float64, key K, i, n int, v float64) {
	if to[key] == nil {
		to[key] = make([]float64, n)
	}
	to[key][i] += v
}
