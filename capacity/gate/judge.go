package gate

import (
	"fmt"
	"math"
	"slices"

	"coinbench/capacity"
)

// Verdict is what a sequence's blocks show.
type Verdict struct {
	Outcome capacity.Outcome `json:"outcome,omitempty"` // "": nothing yet
	Why     string           `json:"why"`
	Pairs   int              `json:"pairs"`
	Void    int              `json:"void_pairs"`
	Metrics []Measured       `json:"metrics"` // the first is the one that the gate is about
	Notes   []string         `json:"notes,omitempty"`
	More    bool             `json:"more,omitempty"` // the blocks ask for half as many pairs more than others
	Gain    Gain             `json:"gain,omitempty"`
	Null    *Measured        `json:"null_arm,omitempty"` // of the first metric, of the null arm against base; nil: there is none

	voids string // what is to be said where too many pairs are void
}

// Gain is what a sequence shows of a gain of its first metric. It decides nothing.
type Gain string

// The gains. "": not known yet.
const (
	Faster Gain = "faster"  // by more than what is tolerated as a loss
	NoGain Gain = "no gain" // of as much as is to be detected as a loss
)

// Width is half the width of the first metric's interval, as a share; infinite while there is none.
func (v Verdict) Width() float64 {
	if len(v.Metrics) == 0 || v.Metrics[0].Low == nil {
		return math.Inf(1)
	}
	return (*v.Metrics[0].High - *v.Metrics[0].Low) / 2
}

// gain looks at the other side of the sequence, with the limits of losses turned round.
func (v *Verdict) gain(r Rule) {
	tolerate, detect := v.Metrics[0].Rule(r).limits()
	if x := v.Metrics[0]; v.Pairs >= leastPass && !x.drifts {
		switch {
		case x.better > -tolerate:
			v.Gain = Faster
		case x.best < -detect:
			v.Gain = NoGain
		}
	}
}

// Measured is a metric's change, as a share of base's value: -.031 is 3.1 % less; of one that is compared by differences, head's value less
// base's. A latency's is positive where head takes longer.
type Measured struct {
	Metric
	Change *float64 `json:"change,omitempty"`
	Low    *float64 `json:"low,omitempty"` // ends of the 95 % sequence; absent: too few pairs
	High   *float64 `json:"high,omitempty"`
	SD     float64  `json:"pair_sd"` // standard deviation of a pair: of the logarithm of its ratio, or of its difference
	P      float64  `json:"p"`       // of a loss no larger than the tolerated one, over all looks and metrics
	Looks  []Look   `json:"looks"`

	worse, better float64 // limits of the losses that the sequence has not excluded, as logarithms: at 98 and at 95 %
	best          float64 // of the gains that it has not excluded at 95 %
	flip          float64 // the sign-flip check's p
	drifts        bool    // quads depend on each other
}

// Look is the sequence after some pairs, as changes.
type Look struct {
	Pairs  int      `json:"pairs"`
	Change float64  `json:"change"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
}

// Judge says what blocks show, after each quad. over: no more will be measured. Where the null arm fails as well, a FAIL is none.
func Judge(r Rule, metrics []Metric, blocks []Block, over bool) Verdict {
	v := judge(r, metrics, blocks, over)
	if half(blocks) == 2 {
		return v
	}
	null := judge(r, metrics, nulls(blocks), over)
	v.Null = &null.Metrics[0]
	if v.Outcome == capacity.OutcomeFail && null.Outcome == capacity.OutcomeFail {
		v.Outcome = capacity.OutcomeInconclusive
		v.Why = fmt.Sprintf("the null arm, which is base once more, fails as well (%s), so that it is not the code: %s", null.Metrics[0].Text(),
			v.Why)
	}
	return v
}

func judge(r Rule, metrics []Metric, blocks []Block, over bool) Verdict {
	v := Verdict{}
	var sound []Pair
	all := Pairs(blocks)
	for _, p := range all {
		if p.Void() {
			v.Void++
		} else {
			sound = append(sound, p)
		}
	}
	v.Pairs = len(sound)
	for i, m := range metrics {
		v.Metrics = append(v.Metrics, measure(r, m, i, sound))
	}
	v.holm()
	v.gain(r)
	v.note(sound)
	if v.unusable(blocks, all) || v.unequal(sound) || v.sparse(all, over) || v.broken(sound) || v.fails(r) || v.passes(r, sound) || !over {
		return v
	}
	v.Outcome = capacity.OutcomeInconclusive
	v.Why = v.undecided(r, sound)
	return v
}

// measure is a metric's change over the pairs.
func measure(r Rule, m Metric, index int, pairs []Pair) Measured {
	x := Measured{Metric: m, P: 1, worse: math.Inf(1), better: math.Inf(-1), best: math.Inf(1), flip: 1}
	var d, quads []float64
	for i, p := range pairs {
		d = append(d, m.difference(p, index))
		if i > 0 && pairs[i-1].quad() == p.quad() {
			quads = append(quads, (d[i]+d[i-1])/2)
		}
		if i == len(pairs)-1 || pairs[i+1].quad() != p.quad() {
			x.look(NewSample(d))
		}
	}
	if len(d) == 0 {
		return x
	}
	tolerate, _ := m.Rule(r).limits()
	s := NewSample(d)
	x.SD = s.SD
	x.Change = x.change(s.Mean)
	low, high := s.Interval(passAlpha, mixture)
	x.better = low
	_, x.worse = s.Interval(failAlpha, mixture)
	x.P = lossP(s, tolerate)
	if correlated(d) { // what pairs show alone is not enough: quads, in which drift cancels, must show it, too
		q := NewSample(quads)
		lowQ, highQ := q.Interval(passAlpha, mixture)
		_, worseQ := q.Interval(failAlpha, mixture)
		low, high = min(low, lowQ), max(high, highQ)
		x.better, x.worse = low, max(x.worse, worseQ)
		x.P = max(x.P, lossP(q, tolerate))
		x.drifts = correlated(quads)
	}
	x.best = high
	x.Low, x.High = x.interval(low, high)
	beyond := make([]float64, len(d))
	for i := range d {
		beyond[i] = d[i] - tolerate
	}
	x.flip = SignFlip(beyond)
	return x
}

// lossP is the anytime-valid one-sided p of a loss no larger than the limit: half of 1/E, since either side is as likely to be crossed
// first.
func lossP(s Sample, limit float64) float64 {
	if s.N < 2 || s.Mean >= limit {
		return 1
	}
	return min(1, math.Exp(-s.LogE(limit, mixture))/2)
}

func (x *Measured) interval(low, high float64) (from, to *float64) {
	if math.IsInf(low, 0) || math.IsInf(high, 0) {
		return nil, nil
	}
	if x.Lower {
		low, high = high, low
	}
	return x.change(low), x.change(high)
}

func (x *Measured) look(s Sample) {
	l := Look{Pairs: s.N, Change: *x.change(s.Mean)}
	l.Low, l.High = x.interval(s.Interval(passAlpha, mixture))
	x.Looks = append(x.Looks, l)
}

// holm makes the p-values hold for all metrics together.
func (v *Verdict) holm() {
	p := make([]float64, len(v.Metrics))
	for i := range v.Metrics {
		p[i] = v.Metrics[i].P
	}
	for i, q := range Holm(p) {
		v.Metrics[i].P = q
	}
}

// Decided says whether more blocks are not needed: what could not be measured may be another time.
func (v Verdict) Decided() bool {
	return v.Outcome == capacity.OutcomePass || v.Outcome == capacity.OutcomeFail
}

// What makes a session INVALID: so many invalid blocks in a row, or more than such a share of the pairs: at once where they show it with
// that confidence, and else if it is so when the session ends. Until then there is no verdict while it is, once there are enough pairs to
// tell.
const (
	mostInRow      = 3
	mostVoid       = .25
	voidConfidence = .95
	enoughToTell   = 8
	leastDown      = 2 // blocks of a side, where none has come up
)

// unusable says whether too many blocks of the latest session are invalid, or those of one side of all. It knows nothing of their values.
func (v *Verdict) unusable(blocks []Block, pairs []Pair) bool {
	count, invalid, down := map[Side]int{}, map[Side]int{}, map[Side]int{}
	row, longest, why, session := 0, 0, "", ""
	for _, b := range blocks {
		if b.Session != session {
			row, longest, session = 0, 0, b.Session
		}
		count[b.Side]++
		row++
		if b.Invalid == "" {
			row = 0
			continue
		}
		invalid[b.Side]++
		if b.Down {
			down[b.Side]++
		}
		longest = max(longest, row)
		why = b.Invalid
	}
	for _, side := range []Side{Base, Head} {
		if n := down[side]; n >= leastDown && n == count[side] {
			v.Outcome = capacity.OutcomeInvalid
			v.Why = fmt.Sprintf("%s does not come up: it was tried %d times; the last: %s", side, n, why)
			return true
		}
	}
	sides := fmt.Sprintf("%d of %d blocks of head and %d of %d of base are invalid", invalid[Head], count[Head], invalid[Base], count[Base])
	for _, side := range []struct{ one, other Side }{{Head, Base}, {Base, Head}} {
		if Fisher(invalid[side.one], count[side.one], invalid[side.other], count[side.other]) < .01 {
			v.Outcome = capacity.OutcomeInconclusive
			v.Why = fmt.Sprintf("%s makes itself unmeasurable: %s; the last: %s", side.one, sides, why)
			return true
		}
	}
	v.voids = fmt.Sprintf("too many blocks could not be measured: %s; the last: %s", sides, why)
	if all, void := voidOf(pairs, session); longest >= mostInRow ||
		all >= enoughToTell && AtLeast(void, all, voidConfidence) > mostVoid {
		v.Outcome, v.Why = capacity.OutcomeInvalid, v.voids
		return true
	}
	return false
}

// What makes a sequence unequal: by how much of the processors the medians of its sides differ in what others used, and a chance below
// which it is not chance. Four of four blocks of one side and none of the other's have .014.
const (
	unequalForeign = .10
	unequalAlpha   = .02
)

// unequal says whether other programs ran while one side was measured and not while the other was. That the app was not slower is not
// enough: it may have been, within what makes a block invalid, and head may be what starts them. The median of all blocks parts much from
// little.
func (v *Verdict) unequal(pairs []Pair) bool {
	foreign := map[Side][]float64{}
	for _, p := range pairs {
		foreign[Base], foreign[Head] = append(foreign[Base], p.Base.Foreign), append(foreign[Head], p.Head.Foreign)
	}
	limit := median(slices.Concat(foreign[Base], foreign[Head]))
	above := func(side Side) (n int) {
		for _, f := range foreign[side] {
			if f > limit {
				n++
			}
		}
		return n
	}
	n := len(pairs)
	for _, side := range []struct{ one, other Side }{{Head, Base}, {Base, Head}} {
		more := median(foreign[side.one]) - median(foreign[side.other])
		if one, other := above(side.one), above(side.other); more >= unequalForeign && Fisher(one, n, other, n) < unequalAlpha {
			v.Outcome = capacity.OutcomeInconclusive
			v.Why = fmt.Sprintf("%s cannot be measured: other programs used more than %s of the processors in %d of its %d blocks, and in "+
				"%d of %s's: stop them, or look for them in %s, and play it anew with another --store", side.one, Percent(limit), one, n,
				other, side.other, side.one)
			return true
		}
	}
	return false
}

// voidOf counts the pairs of a session, and those that are void.
func voidOf(pairs []Pair, session string) (all, void int) {
	for _, p := range pairs {
		if p.Base.Session == session {
			all++
			if p.Void() {
				void++
			}
		}
	}
	return all, void
}

// sparse says whether there is no verdict while more of a session's pairs are void than may be; over: nor will there be.
func (v *Verdict) sparse(pairs []Pair, over bool) bool {
	if len(pairs) == 0 {
		return false
	}
	all, void := voidOf(pairs, pairs[len(pairs)-1].Base.Session)
	if all < enoughToTell || float64(void) <= mostVoid*float64(all) {
		return false
	}
	if over {
		v.Outcome, v.Why = capacity.OutcomeInvalid, v.voids
	}
	return true
}

// errors are what a block may have that its metrics do not tell.
const errors = "exceptions, lost hashes or a rollout that did not complete"

// broken says whether head has exceptions or loses hashes in more of its blocks than base. One such block may be bad luck, as it may be in
// base, and is only no pass.
func (v *Verdict) broken(pairs []Pair) bool {
	head, base := failing(pairs)
	if Fisher(head, len(pairs), base, len(pairs)) > .01 {
		return false
	}
	v.Outcome = capacity.OutcomeFail
	v.Why = fmt.Sprintf("%d of %d blocks of head have %s, and %d of base", head, len(pairs), errors, base)
	return true
}

// failing counts the blocks with errors.
func failing(pairs []Pair) (head, base int) {
	for _, p := range pairs {
		if p.Head.Errors > 0 {
			head++
		}
		if p.Base.Errors > 0 {
			base++
		}
	}
	return head, base
}

// onlyHead says whether head has errors and base has none.
func onlyHead(pairs []Pair) bool {
	head, base := failing(pairs)
	return head > 0 && base == 0
}

// Worse says whether the metric, of at least as many pairs as a FAIL takes, is shown to be worse by more than is tolerated.
func (x *Measured) Worse() bool { return x.P <= failAlpha/2 && x.flip <= signAlpha && !x.drifts }

// fails says whether a metric is shown to be worse by more than is tolerated.
func (v *Verdict) fails(r Rule) bool {
	if v.Pairs < leastFail {
		return false
	}
	for i := range v.Metrics {
		x := &v.Metrics[i]
		if x.Worse() {
			v.Outcome = capacity.OutcomeFail
			v.Why = fmt.Sprintf("%s is worse by more than the %s that is tolerated: %s", x.Name, x.Amount(x.Rule(r).Tolerate), x.Text())
			return true
		}
	}
	return false
}

// shownLoss is a loss that is not written as 0.00 %.
const shownLoss = 5e-5

// passes says whether every metric is shown not to be worse by the loss to detect.
func (v *Verdict) passes(r Rule, pairs []Pair) bool {
	if v.Pairs < leastPass || onlyHead(pairs) {
		return false
	}
	for _, x := range v.Metrics {
		if _, detect := x.Rule(r).limits(); x.better <= detect || x.drifts {
			return false
		}
	}
	v.Outcome = capacity.OutcomePass
	first := &v.Metrics[0]
	v.Why = fmt.Sprintf("%s has no loss of %s: %s", first.Name, first.Amount(first.Rule(r).Detect), first.Text())
	if v.Metrics[0].worse < -shownLoss {
		v.Why += ", which is a loss all the same"
	}
	return true
}

// undecided says why a sequence that has ended says nothing, and what would.
func (v *Verdict) undecided(r Rule, pairs []Pair) string {
	if v.Pairs == 0 {
		return "no pair was measured"
	}
	for i := range v.Metrics {
		x := &v.Metrics[i]
		own := x.Rule(r)
		_, detect := own.limits()
		switch {
		case x.drifts:
			return fmt.Sprintf("%s drifts: each quad depends on the one before, so that no interval holds", x.Name)
		case x.better > detect:
			continue
		case x.SD == 0:
			return fmt.Sprintf("%d pairs are too few for %s: a PASS takes %d, a FAIL %d", v.Pairs, x.Name, leastPass, leastFail)
		}
		why := fmt.Sprintf("%d pairs do not tell %s from a loss of %s: %s", v.Pairs, x.Name, x.Amount(own.Detect), x.Text())
		if n := own.PairsToFail(x.SD); n > v.Pairs {
			why += fmt.Sprintf("; with pairs that differ by %s it takes about %d", x.Amount(x.SD), n)
		}
		return why
	}
	if onlyHead(pairs) {
		n, _ := failing(pairs)
		return fmt.Sprintf("%d of %d blocks of head have %s, and none of base", n, len(pairs), errors)
	}
	return fmt.Sprintf("%d pairs are too few: a PASS takes %d", v.Pairs, leastPass)
}

// note adds what is worth knowing and decides nothing.
func (v *Verdict) note(pairs []Pair) {
	for i := range v.Metrics {
		var base, head []float64
		for _, p := range pairs {
			base, head = append(base, p.Base.Values[i]), append(head, p.Head.Values[i])
		}
		if text, more := modes(base, head, v.Metrics[i].Unit); more {
			v.Notes, v.More = append(v.Notes, v.Metrics[i].Name+": "+text), true
		}
	}
	if onlyHead(pairs) {
		n, _ := failing(pairs)
		v.Notes = append(v.Notes, fmt.Sprintf("%d of %d blocks of head have %s, and none of base", n, len(pairs), errors))
	}
}

// Text is the change with its interval: -3.1 % [-3.9, -2.3].
func (x *Measured) Text() string {
	if x.Change == nil {
		return "not measured"
	}
	change := x.signed(*x.Change) + " " + x.ChangeUnit()
	if x.Low == nil {
		return change + " [no interval yet]"
	}
	return fmt.Sprintf("%s [%s, %s]", change, x.signed(*x.Low), x.signed(*x.High))
}

// Percent is a share in percent, with three digits at most: 0.61 %.
func Percent(share float64) string {
	if share > 0 && share < 5e-5 {
		return "less than 0.01 %"
	}
	return fmt.Sprintf("%.3g %%", 100*share)
}
