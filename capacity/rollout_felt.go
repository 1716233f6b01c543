package capacity

import (
	"slices"
	"time"

	"coinbench/history"
)

// Felt is what one load felt of a rollout or a fault.
type Felt struct {
	Load       string         `json:"load"`
	Closed     bool           `json:"closed"`
	Requests   int64          `json:"requests"` // that fell due from its begin to its end
	Failed     int64          `json:"failed"`   // of these
	Available  Availability   `json:"availability"`
	Before     *Latency       `json:"before,omitempty"` // response times of requests due before it, and after the one before
	During     *Latency       `json:"during,omitempty"`
	After      *Latency       `json:"after,omitempty"` // and before the next one
	MaxGapS    float64        `json:"max_gap_s"`       // the longest time without a success that touches it
	MaxGapAtS  float64        `json:"max_gap_at_s"`    // when that began
	Failures   []FailureGroup `json:"failures,omitempty"`
	Incomplete bool           `json:"incomplete,omitempty"` // not every request was kept: failures are, the rest is of those that were
}

// felt computes what every load of the service felt; EndS moves to the last failure before the next disturbance.
func (r *Rollout) felt(run *history.Run, tasks []*TaskLife, before, next float64) {
	type part struct {
		load    history.Load
		samples []history.Sample
	}
	var parts []part
	for _, l := range run.Loads {
		if l.Service != r.Service || l.Begin.Seconds() > r.EndS {
			continue
		}
		end := run.End
		if l.Closing != nil {
			end = l.Closing.End
		}
		if end.Seconds() < r.BeginS {
			continue
		}
		parts = append(parts, part{load: l, samples: l.Samples})
		for _, s := range l.Samples {
			if bad(s) && s.Due.Seconds() >= r.BeginS && s.Due.Seconds() < next {
				r.EndS = max(r.EndS, min(s.Done.Seconds(), next))
			}
		}
	}
	blame := newBlame(run, r.Service, tasks)
	for _, p := range parts {
		total := p.load.Total()
		f := Felt{Load: p.load.Name, Closed: p.load.Closed, Incomplete: int64(len(p.samples)) < total.Due}
		var times, givenUp [3][]float64 // before, during, after
		var good []time.Duration
		var failed []history.Sample
		cancelled := int64(0)
		for _, s := range p.samples {
			due := s.Due.Seconds()
			if s.Class == history.OK {
				good = append(good, s.Done)
			}
			i := 0
			switch {
			case due < before || due >= next && next < run.End.Seconds():
				continue
			case due < r.BeginS:
			case due <= r.EndS:
				i = 1
				f.Requests++
				if s.Class == history.Cancelled {
					cancelled++
				}
			default:
				i = 2
			}
			switch {
			case s.Class == history.OK:
				times[i] = append(times[i], (s.Done - s.Due).Seconds())
			case i == 1 && bad(s):
				failed = append(failed, s)
			}
			if s.Class.GivenUp() {
				givenUp[i] = append(givenUp[i], (s.Done - s.Due).Seconds())
			}
		}
		f.Failed = int64(len(failed))
		f.Available = NewAvailability(f.Requests-cancelled, f.Failed)
		for i, to := range []**Latency{&f.Before, &f.During, &f.After} {
			*to = latencyOf(times[i], givenUp[i])
		}
		f.MaxGapS, f.MaxGapAtS = longestGap(good, r.BeginS, r.EndS)
		f.Failures = blame.groups(failed)
		r.Loads = append(r.Loads, f)
	}
}

func bad(s history.Sample) bool { return s.Class != history.OK && s.Class != history.Cancelled }

// longestGap is the longest time between two successes that touches the time from begin to end.
func longestGap(good []time.Duration, begin, end float64) (length, at float64) {
	slices.Sort(good)
	for i := 1; i < len(good); i++ {
		a, b := good[i-1].Seconds(), good[i].Seconds()
		if b >= begin && a <= end && b-a > length {
			length, at = b-a, a
		}
	}
	if n := len(good); n > 0 && (good[n-1]).Seconds() < end { // none came any more
		if a := (good[n-1]).Seconds(); end-a > length {
			length, at = end-a, a
		}
	}
	return length, at
}
