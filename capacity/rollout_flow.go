package capacity

import (
	"cmp"
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
	EndS     float64                     `json:"end_s"`   // of the last bin, which is longer than the others by what is no whole bin
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
const fewestPerBin = 25

// flows are the loads that met a rollout or a fault: by the request where all were kept, else by the second.
func flows(run *history.Run, rollouts []Disturbance) (all []Flow) {
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
				end = max(end, happened(s))
			}
		}
		end += (end - l.Begin) / time.Duration(max(1, total.Due)) // the last request has its share of the time
		f := Flow{Load: l.Name, Service: l.Service, BeginS: l.Begin.Seconds(), EndS: end.Seconds(), Answered: map[string][]float64{},
			Failed: map[history.Class][]float64{}}
		length := f.EndS - f.BeginS
		for _, b := range []float64{.1, .2, .5, 1, 2, 5, 10, 30, 60, 300} {
			// A rate needs several requests in each bin: 5/s in bins of 0.1 s would be a comb of 0 and 10.
			if f.BinS = b; b >= finest && length/b <= mostBins && float64(total.Due)*b/max(length, b) >= fewestPerBin {
				break
			}
		}
		bins := max(1, int(length/f.BinS+1e-9))
		f.EndS = max(f.EndS, f.BeginS+float64(bins)*f.BinS)
		bin := func(at time.Duration) int { return min(max(0, int((at-l.Begin).Seconds()/f.BinS)), bins-1) }
		perS := func(i int, n int64) float64 { // n requests in a bin
			if i == bins-1 {
				return float64(n) / (f.EndS - f.BeginS - float64(i)*f.BinS)
			}
			return float64(n) / f.BinS
		}
		answered := func(version string, i int, n int64) { add(f.Answered, version, i, bins, perS(i, n)) }
		failed := func(class history.Class, i int, n int64) { add(f.Failed, class, i, bins, perS(i, n)) }
		if kept(l) {
			for _, s := range l.Samples {
				switch {
				case s.Class == history.OK:
					answered(s.Version, bin(s.Done), 1)
				case bad(s):
					failed(s.Class, bin(happened(s)), 1)
				}
			}
		} else {
			var reader history.TimesReader
			for _, i := range l.Intervals {
				at, unnamed := bin(i.At+i.Length/2), i.OK
				for _, p := range i.Parts {
					if p.OK > 0 {
						answered(p.Version, at, p.OK)
						unnamed -= p.OK
					}
				}
				if unnamed > 0 {
					answered("", at, unnamed)
				}
				for class, n := range i.Failures {
					switch {
					case class == history.Cancelled:
					case class != history.NoAnswer:
						failed(class, at, n)
					default: // their ages are those of all that were given up, of which they are the oldest
						_, givenUp := reader.Of(i)
						_, ages := oldest(givenUp, n)
						for _, c := range ages {
							failed(class, bin(i.At+i.Length-time.Duration(c.NS)), c.N)
							n -= c.N
						}
						failed(class, at, n)
					}
				}
			}
		}
		f.Stints = stints(tasks.Of(l.Service), run.End.Seconds())
		all = append(all, f)
	}
	return all
}

// happened is when a request became what it was. One that never had an answer was given up with its load, which says nothing of when its
// trouble began: it counts where it fell due.
func happened(s history.Sample) time.Duration {
	if s.Class == history.NoAnswer {
		return s.Due
	}
	return s.Done
}

func add[K comparable](to map[K][]float64, key K, i, n int, v float64) {
	if to[key] == nil {
		to[key] = make([]float64, n)
	}
	to[key][i] += v
}
