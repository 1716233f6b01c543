package capacity

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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
	Stints   []Stint                     `json:"stints,omitempty"` // of the service's replicas, by replica and time
}

// Stint is a time in which a replica was in rotation with one version.
type Stint struct {
	Replica string  `json:"replica"`
	Version string  `json:"version,omitempty"`
	FromS   float64 `json:"from_s"`
	ToS     float64 `json:"to_s"`
}

// stints are the times in which the replicas of a service served.
func stints(tasks []*TaskLife, end float64) (all []Stint) {
	for _, t := range tasks {
		if t.JoinedS == nil {
			continue
		}
		s := Stint{Replica: t.replica(), Version: t.Version, FromS: *t.JoinedS, ToS: end}
		for _, at := range []*float64{t.LeftS, t.KilledS, t.GoneS} {
			if at != nil && *at >= s.FromS {
				s.ToS = min(s.ToS, *at)
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Stint) int {
		if c := cmp.Compare(slot(a.Replica), slot(b.Replica)); c != 0 {
			return c
		}
		if c := strings.Compare(a.Replica, b.Replica); c != 0 {
			return c
		}
		return cmp.Compare(a.FromS, b.FromS)
	})
	return all
}

// slot is the number at the end of a replica's name.
func slot(replica string) int {
	n, _ := strconv.Atoi(replica[strings.LastIndexByte(replica, '.')+1:])
	return n
}

// mostBins is how many points of a flow are worth drawing.
const mostBins = 160

// fewestPerBin is how many requests a bin holds on average, so that its height is a rate.
const fewestPerBin = 10

// flows are the loads that met a rollout or a fault: by the request where all were kept, else by the second.
func flows(run *history.Run, rollouts []Rollout) (all []Flow) {
	met := map[string]bool{}
	for _, r := range rollouts {
		for _, l := range r.Loads {
			met[l.Load] = met[l.Load] || l.Requests > 0
		}
	}
	tasks := lives(run)
	for n := range run.Loads {
		l := &run.Loads[n]
		if !met[l.Name] {
			continue
		}
		total := l.Total()
		end, finest := total.At+total.Length, 1.0
		if kept(l) {
			end, finest = 0, .1
			for _, s := range l.Samples {
				end = max(end, s.Done)
			}
		}
		f := Flow{Load: l.Name, Service: l.Service, BeginS: l.Begin.Seconds(), Answered: map[string][]float64{},
			Failed: map[history.Class][]float64{}}
		length := (end - l.Begin).Seconds()
		for _, b := range []float64{.1, .2, .5, 1, 2, 5, 10, 30, 60, 300} {
			// A rate needs several requests in each bin: 5/s in bins of 0.1 s would be a comb of 0 and 10.
			if f.BinS = b; b >= finest && length/b <= mostBins && float64(total.Due)*b/max(length, b) >= fewestPerBin {
				break
			}
		}
		bins := int(math.Ceil(length/f.BinS)) + 1
		bin := func(at time.Duration) int { return min(max(0, int((at-l.Begin).Seconds()/f.BinS)), bins-1) }
		if kept(l) {
			for _, s := range l.Samples {
				switch {
				case s.Class == history.OK:
					add(f.Answered, s.Version, bin(s.Done), bins, 1/f.BinS)
				case bad(s):
					add(f.Failed, s.Class, bin(s.Done), bins, 1/f.BinS)
				}
			}
		} else {
			for _, i := range l.Intervals {
				at, unnamed := bin(i.At+i.Length/2), i.OK
				for _, p := range i.Parts {
					if p.OK > 0 {
						add(f.Answered, p.Version, at, bins, float64(p.OK)/f.BinS)
						unnamed -= p.OK
					}
				}
				if unnamed > 0 {
					add(f.Answered, "", at, bins, float64(unnamed)/f.BinS)
				}
				for class, n := range i.Failures {
					if class != history.Cancelled {
						add(f.Failed, class, at, bins, float64(n)/f.BinS)
					}
				}
			}
		}
		f.Stints = stints(tasks[l.Service], run.End.Seconds())
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
