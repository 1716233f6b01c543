package gate

import (
	"math"
	"time"

	"coinbench/capacity"
)

// Point is a gate in the history of its series.
type Point struct {
	Session  Session          `json:"session"` // the first of its sequence
	Outcome  capacity.Outcome `json:"outcome"`
	Change   *float64         `json:"change,omitempty"` // of head against base
	Low      *float64         `json:"low,omitempty"`
	High     *float64         `json:"high,omitempty"`
	Pairs    int              `json:"pairs"`
	Head     float64          `json:"head,omitempty"` // mean of head's blocks
	StdErr   float64          `json:"head_std_err,omitempty"`
	Accepted string           `json:"accepted,omitempty"` // why the loss was accepted
}

// History are the gates of a series in the order of time, and what may have changed between them.
type History struct {
	Points  []Point  `json:"points"`
	Changes []Change `json:"changes,omitempty"` // of head's mean; Index is a place among the points that have one
	Spikes  []int    `json:"spikes,omitempty"`
}

// History of a series. Its numbers are those of one class of machine; what changes there, as a kernel does, is a change too.
func (s Series) History() History {
	var h History
	var values, errors []float64
	for _, first := range s.Sequences(Compare) {
		v := s.Judge(first)
		p := Point{Session: first, Outcome: v.Outcome, Pairs: v.Pairs}
		if a := s.accepted(first); a != nil {
			p.Accepted = a.Why
		}
		m := v.Metrics[0]
		p.Change, p.Low, p.High = m.Change, m.Low, m.High
		var heads []float64
		for _, pair := range Pairs(s.Sequence(first.Sequence)) {
			if !pair.Void() {
				heads = append(heads, pair.Head.Values[0])
			}
		}
		if len(heads) > 0 {
			sample := NewSample(heads)
			p.Head, p.StdErr = sample.Mean, sample.SD/math.Sqrt(float64(len(heads)))
			values, errors = append(values, p.Head), append(errors, p.StdErr)
			h.Points = append(h.Points, p)
		}
	}
	h.Changes, h.Spikes = Changes(values, errors, 1), Spikes(values)
	return h
}

// accepted is how a sequence's loss was accepted, the latest; nil: it was not.
func (s Series) accepted(session Session) *Accepted {
	var found *Accepted
	for i := range s.Accepted {
		if s.Accepted[i].Sequence == session.Sequence {
			found = &s.Accepted[i]
		}
	}
	return found
}

// Accept makes the line that accepts the loss of the latest gate of the series; false: it has none.
func (s Series) Accept(why string, at time.Time) (a Accepted, ok bool) {
	all := s.Sequences(Compare)
	if len(all) == 0 {
		return a, false
	}
	last := all[len(all)-1]
	return Accepted{Sequence: last.Sequence, Digest: last.Head.Digest, At: at, Why: why}, true
}

// Anchor is the commit that later ones are held against, and since when: the head of the latest loss that was accepted, or of the latest
// gate that was shown to be faster. "": there is none of a commit.
func (s Series) Anchor() (commit string, at time.Time) {
	for _, first := range s.Sequences(Compare) {
		if first.Head.Commit == "" {
			continue
		}
		since := time.Time{}
		if a := s.accepted(first); a != nil {
			since = a.At
		} else if v := s.Judge(first); v.Outcome == capacity.OutcomePass && v.Gain == Faster {
			since = first.At
		}
		if since.After(at) {
			commit, at = first.Head.Commit, since
		}
	}
	return commit, at
}
