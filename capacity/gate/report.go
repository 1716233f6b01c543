package gate

import (
	"math"
	"slices"

	"coinbench/capacity"
)

// Report is all that is to be said of a sequence. The same series gives the same report.
type Report struct {
	Session  Session   `json:"session"` // the latest of the sequence
	Verdict  Verdict   `json:"verdict"`
	Pairs    []PairOf  `json:"pairs"`
	Seconds  float64   `json:"seconds"` // that its blocks took
	SelfTest *Shown    `json:"self_test,omitempty"`
	Accepted *Accepted `json:"accepted,omitempty"` // its loss was accepted

	SD     float64  `json:"pair_sd"`          // of all pairs of the series, within their sequences; 0: not known yet
	Most   int      `json:"most_pairs"`       // of a session
	Found  []Found  `json:"found,omitempty"`  // the smallest loss that is found in 95 % of gates, with that standard deviation
	Plan   *Planned `json:"plan,omitempty"`   // how many pairs a gate takes
	Spread *Spread  `json:"spread,omitempty"` // as the latest --calibrate has found it
	Free   Control  `json:"free_aa"`          // from the base blocks of all gates of the series
	Asked  Control  `json:"asked_aa"`         // by --aa
	Again  Control  `json:"relabelled_aa"`    // the blocks of --aa, in their order and under other labels
	Tries  int      `json:"tries,omitempty"`  // sequences of the same head's commit with other digests
	Lost   int      `json:"broken,omitempty"` // lines of the store that could not be read
}

// PairOf is a pair, for the eye.
type PairOf struct {
	Quad   int     `json:"quad"`
	Base   float64 `json:"base,omitempty"`
	Head   float64 `json:"head,omitempty"`
	Change float64 `json:"change,omitempty"`
	Void   string  `json:"void,omitempty"` // why the pair is not used
}

// Found is the smallest loss that some pairs find.
type Found struct {
	Pairs int     `json:"pairs"`
	Loss  float64 `json:"loss"`
}

// Planned is after how many pairs 95 % of gates end; 0: more than are allowed.
type Planned struct {
	Fail  int     `json:"pairs_to_fail"` // of a head that loses what is to be detected
	Pass  int     `json:"pairs_to_pass"` // of a head that is alike
	PairS float64 `json:"seconds_of_a_pair"`
}

// Shown is what the self-test of a series has shown.
type Shown struct {
	Outcome capacity.Outcome `json:"outcome"`
	Loss    float64          `json:"loss"` // that was injected in the first metric
	Pairs   int              `json:"pairs"`
	Unshown []string         `json:"unshown,omitempty"` // metrics that did not show theirs
}

// CanFail says whether it has shown that the gate can fail, by each of its metrics.
func (s *Shown) CanFail() bool {
	return s != nil && s.Outcome == capacity.OutcomeFail && len(s.Unshown) == 0
}

// Control is a count of gates of identical code.
type Control struct {
	Gates  int     `json:"gates"` // that came to an end
	Failed int     `json:"failed"`
	Bound  float64 `json:"at_most"` // the share of failures, with 95 % confidence
}

func (c *Control) bound() { c.Bound = AtMost(c.Failed, c.Gates, .95) }

// Report makes the report of the sequence that a session belongs to. over: no more will be measured.
func (s Series) Report(session Session, over bool) Report {
	blocks := s.Sequence(session.Sequence)
	r := Report{Session: session, Most: MostPairs, Lost: s.Broken, Accepted: s.accepted(session)}
	rule, metrics := session.Design.Rule, session.Design.Metrics
	r.Verdict = Judge(rule, metrics, blocks, over)
	r.Seconds = ofNulls(blocks)
	for _, p := range Pairs(blocks) {
		r.Seconds += p.Base.Seconds + p.Head.Seconds
		pair := PairOf{Quad: p.quad()}
		switch {
		case p.Base.Invalid != "":
			pair.Void = "base: " + p.Base.Invalid
		case p.Head.Invalid != "":
			pair.Void = "head: " + p.Head.Invalid
		default:
			pair.Base, pair.Head = p.Base.Values[0], p.Head.Values[0]
			pair.Change = *metrics[0].change(metrics[0].difference(p, 0))
		}
		r.Pairs = append(r.Pairs, pair)
	}
	r.spread(s)
	if r.Plan != nil {
		for _, n := range []int{leastFail, MostPairs} {
			r.Found = append(r.Found, Found{n, metrics[0].Rule(rule).Found(r.SD, n)})
		}
	}
	r.Spread = s.Spread()
	r.SelfTest = s.selfTest()
	if session.Kind == Compare && r.Verdict.Outcome == capacity.OutcomePass && !r.SelfTest.CanFail() {
		r.Verdict.Outcome = capacity.OutcomeInconclusive
		r.Verdict.Why = "this series has not shown that it can fail; play the same with --self-test once. Otherwise: " + r.Verdict.Why
	}
	r.Free = s.freeControl(rule, metrics)
	for _, first := range s.Sequences(Alike) {
		switch s.Judge(first).Outcome {
		case capacity.OutcomeFail:
			r.Asked.Failed++
			fallthrough
		case capacity.OutcomePass:
			r.Asked.Gates++
		}
	}
	r.Asked.bound()
	r.Again, _ = s.Relabelled(Relabellings)
	for _, first := range s.Sequences(Compare) {
		if c := session.Head.Commit; c != "" && first.Head.Commit == c && first.Head.Digest != session.Head.Digest {
			r.Tries++
		}
	}
	return r
}

// spread pools the variances of the pairs of all sequences of the series, and their times.
func (r *Report) spread(s Series) {
	square, df, seconds, pairs := 0.0, 0.0, 0.0, 0.0
	for _, kind := range []Kind{Compare, SelfTest, Alike} {
		for _, first := range s.Sequences(kind) {
			var d []float64
			blocks := s.Sequence(first.Sequence)
			seconds += ofNulls(blocks)
			for _, p := range Pairs(blocks) {
				seconds += p.Base.Seconds + p.Head.Seconds
				pairs++
				if !p.Void() {
					d = append(d, first.Design.Metrics[0].difference(p, 0))
				}
			}
			if len(d) > 1 {
				sd := NewSample(d).SD
				square += sd * sd * float64(len(d)-1)
				df += float64(len(d) - 1)
			}
		}
	}
	if df < 2 {
		return
	}
	r.SD = math.Sqrt(square / df)
	rule := r.Session.Design.Metrics[0].Rule(r.Session.Design.Rule)
	r.Plan = &Planned{Fail: allowed(rule.PairsToFail(r.SD)), Pass: allowed(rule.PairsToPass(r.SD)), PairS: seconds / pairs}
}

// ofNulls is what a null arm's blocks took.
func ofNulls(blocks []Block) (seconds float64) {
	for _, b := range blocks {
		if b.Side == Null {
			seconds += b.Seconds
		}
	}
	return seconds
}

func allowed(pairs int) int {
	if pairs > MostPairs {
		return 0
	}
	return pairs
}

// selfTest is the best that the series' self-tests have shown.
func (s Series) selfTest() (best *Shown) {
	for _, first := range s.Sequences(SelfTest) {
		v := s.Judge(first)
		shown := &Shown{Outcome: v.Outcome, Loss: first.Design.Metrics[0].Rule(first.Design.Rule).Detect, Pairs: v.Pairs}
		for i := range v.Metrics {
			if x := &v.Metrics[i]; !x.Worse() {
				shown.Unshown = append(shown.Unshown, x.Name)
			}
		}
		if best == nil || v.Outcome == capacity.OutcomeFail && !best.CanFail() {
			best = shown
		}
	}
	return best
}

// freeControl plays gates of base against base with what was measured anyway: the two base blocks of a quad are two deployments of the same
// code, in random order a pair. One a quad is left, and its blocks are further apart than those of a pair, so that it rather shows more
// false alarms than there are. The pairs of a series are strung together until the rule decides.
func (s Series) freeControl(rule Rule, metrics []Metric) Control {
	var c Control
	var chain []Block
	for _, first := range s.Sequences(Compare) {
		blocks := s.Sequence(first.Sequence)
		for i, a := range blocks {
			j := slices.IndexFunc(blocks[i+1:], func(b Block) bool {
				return b.Side == Base && b.Quad == a.Quad && b.Session == a.Session && b.Place != a.Place
			})
			if a.Side != Base || j < 0 {
				continue
			}
			b := blocks[i+1+j]
			if a.Invalid != "" || b.Invalid != "" {
				continue
			}
			n := len(chain) / 2
			if Order(first.Seed+1, n)[0] == Head {
				a, b = b, a
			}
			a.Side, b.Side = Base, Head
			a.Session, b.Session = "free", "free"
			a.Quad, b.Quad, a.Place, b.Place = n/2, n/2, 2*(n%2), 2*(n%2)+1
			chain = append(chain, a, b)
			switch Judge(rule, metrics, chain, len(chain) >= 2*MostPairs).Outcome {
			case capacity.OutcomeFail:
				c.Failed++
				c.Gates++
				chain = nil
			case "":
			default:
				c.Gates++
				chain = nil
			}
		}
	}
	c.bound()
	return c
}
