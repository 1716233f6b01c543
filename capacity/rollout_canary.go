package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"coinbench/history"
	"coinbench/history/event"
)

// CanaryCell is a short part of a watch, and what became of the requests that ended in it.
type CanaryCell struct {
	Replicas   []Served // the canary first, the others in the same order in every cell
	Unanswered int64    // failed, and no answer says which replica had them
	WaitedS    float64  // by these, all together
}

// Served is what became of the requests that a replica is known to have had.
type Served struct {
	OK, Failed int64
	Response   *history.Histogram // of the good ones: done - due
}

// Add counts what became of a replica's requests in an interval.
func (s *Served) Add(p history.Part) {
	s.OK += p.OK
	s.Failed += p.Failed()
	s.Response = merged(s.Response, p.Response)
}

// merged is the sum of two histograms, in place of the first; nil is an empty one.
func merged(sum, more *history.Histogram) *history.Histogram {
	if more == nil || more.TotalCount() == 0 {
		return sum
	}
	if sum == nil {
		sum = history.NewHistogram()
	}
	sum.Merge(more)
	return sum
}

// CanaryVerdict is what a comparison says. The probabilities are those of a difference as large or larger if the canary were like the
// others, one-sided.
type CanaryVerdict struct {
	Result event.Verdict
	Reason string

	Failures, Median, P95 CanaryTest
}

// CanaryTest is one comparison.
type CanaryTest struct {
	P      float64 // 1: nothing speaks against the canary, or nothing can be said
	Blocks int     // that were ranked; 0: there were too few
	Canary float64 // share of failures, or seconds
	Others float64
	// least that would have been seen with seenWith: a share of failures, or how many times slower; 0: nothing. Of a canary that goes on
	Seen float64

	visible func() float64 // computes Seen
}

// What a canary must be worse by to matter, and what a watch must exclude to let it go on.
const (
	canaryTolerance = 1.1  // times the others' response time
	mustExclude     = 0.05 // of the requests: failures more than the others'
	seenWith        = 0.8  // probability with which a statement "would have been seen" holds
)

// canaryTests is how many comparisons share the doubt that the confidence leaves (Bonferroni): failures, median, 95th percentile.
const canaryTests = 3

// JudgeCanary compares a canary with the other replicas, over cells of a given length. In each block of cells every replica has one share
// of failures, one median and one 95th percentile of its response times, and the exact permutation test for randomised blocks says how
// probable the canary's ranks are if it is like the others; its times are divided by canaryTolerance before. Blocks are so long that they
// do not depend on each other (see blocking). Where queues remember so long that the watch has too few such blocks, its times are compared
// by size instead (see outlier). Each of the three comparisons has a third of the doubt.
//
// Requests that no replica answered are divided among the replicas in proportion to what each lacks of an equal share: so they count
// against the replica that did not answer, on any cluster, and against each alike when all are the same.
func JudgeCanary(cells []CanaryCell, length time.Duration, confidence float64) CanaryVerdict {
	v := CanaryVerdict{Failures: CanaryTest{P: 1}, Median: CanaryTest{P: 1}, P95: CanaryTest{P: 1}}
	if len(cells) == 0 || len(cells[0].Replicas) < 2 {
		v.Result, v.Reason = event.CanaryUnknown, "there is no other replica to compare the canary with"
		if len(cells) == 0 {
			v.Reason = "no request ended during the watch"
		}
		return v
	}
	w := newCanaryWatch(cells, length, confidence)
	w.compare(&v)
	w.conclude(&v, confidence)
	return v
}

// canaryWatch is what a canary is judged by.
type canaryWatch struct {
	cells    []CanaryCell
	length   time.Duration
	replicas int
	doubt    float64 // of each comparison
	total    CanaryCell
}

func newCanaryWatch(cells []CanaryCell, length time.Duration, confidence float64) canaryWatch {
	w := canaryWatch{cells: cells, length: length, replicas: len(cells[0].Replicas), doubt: (1 - confidence) / canaryTests}
	w.total = w.block(0, len(cells))
	return w
}

func (w canaryWatch) compare(v *CanaryVerdict) {
	v.Failures, v.Median, v.P95 = w.failures(), w.times(50), w.times(95)
}

// worse says by what a canary is worse; "": by nothing that is shown.
func (v *CanaryVerdict) worse(doubt float64) string {
	switch {
	case v.Failures.P <= doubt:
		return "failures"
	case v.Median.P <= doubt:
		return "median"
	case v.P95.P <= doubt:
		return "p95"
	}
	return ""
}

// block sums cells up.
func (w canaryWatch) block(from, to int) CanaryCell {
	sum := CanaryCell{Replicas: make([]Served, w.replicas)}
	for _, c := range w.cells[from:to] {
		sum.Unanswered += c.Unanswered
		sum.WaitedS += c.WaitedS
		for i, r := range c.Replicas {
			s := &sum.Replicas[i]
			s.OK += r.OK
			s.Failed += r.Failed
			s.Response = merged(s.Response, r.Response)
		}
	}
	return sum
}

// blocks are the watch cut into blocks of n cells; what is left at the end is in the last one.
func (w canaryWatch) blocks(n int) []CanaryCell {
	count := len(w.cells) / n
	list := make([]CanaryCell, count)
	for i := range list {
		to := (i + 1) * n
		if i == count-1 {
			to = len(w.cells)
		}
		list[i] = w.block(i*n, to)
	}
	return list
}

// shares are each replica's share of failures, those without an answer among them.
func (c CanaryCell) shares() []float64 {
	failed, due := c.counts()
	shares := make([]float64, len(failed))
	for i := range shares {
		if due[i] > 0 {
			shares[i] = failed[i] / due[i]
		}
	}
	return shares
}

// counts are each replica's failures, and all of its requests.
func (c CanaryCell) counts() (failed, due []float64) {
	answered := int64(0)
	for _, r := range c.Replicas {
		answered += r.OK + r.Failed
	}
	fair := float64(answered+c.Unanswered) / float64(len(c.Replicas))
	lacking := 0.0
	for _, r := range c.Replicas {
		lacking += max(0, fair-float64(r.OK+r.Failed))
	}
	for _, r := range c.Replicas {
		had := float64(r.OK + r.Failed)
		f := float64(r.Failed)
		if c.Unanswered > 0 && lacking > 0 {
			missing := float64(c.Unanswered) * max(0, fair-had) / lacking
			f, had = f+missing, had+missing
		}
		failed, due = append(failed, f), append(due, had)
	}
	return failed, due
}

// quantiles are each replica's percentile of response times in seconds; NaN: it has none.
func (c CanaryCell) quantiles(percent float64) []float64 {
	values := make([]float64, len(c.Replicas))
	for i, r := range c.Replicas {
		values[i] = math.NaN()
		if r.Response != nil && r.Response.TotalCount() > 0 {
			values[i] = float64(r.Response.ValueAtPercentile(percent)) / 1e9
		}
	}
	return values
}

// wholeBlocks are the values of blocks in which every replica has one.
func wholeBlocks(blocks []CanaryCell, of func(CanaryCell) []float64) (values [][]float64) {
	for _, b := range blocks {
		if v := of(b); !hasNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

func hasNaN(values []float64) bool {
	for _, v := range values {
		if math.IsNaN(v) {
			return true
		}
	}
	return false
}

// Of relaxation times: a block must be so long not to depend on the one before.
const relaxations = 3

// independent cuts the watch into the shortest blocks of at least n cells that do not depend on each other, as far as that can be told:
// successive values are not correlated, and the blocks are longer than what queues remember, unless even single cells show
// no memory (then what looks like a queue is work side by side). Nil: there are too few to decide anything.
func (w canaryWatch) independent(n int, memory time.Duration, of func(CanaryCell) []float64) []CanaryCell {
	memoryless := w.uncorrelated(w.blocks(1), of)
	for ; w.decides(len(w.cells) / n); n++ {
		if !memoryless && time.Duration(n)*w.length < relaxations*memory {
			continue
		}
		if blocks := w.blocks(n); w.uncorrelated(blocks, of) {
			return blocks
		}
	}
	return nil
}

// uncorrelated says whether successive blocks look independent: their correlation within each replica is not above zero by more than
// one-sided 99 % allow.
func (w canaryWatch) uncorrelated(blocks []CanaryCell, of func(CanaryCell) []float64) bool {
	series := make([][]float64, w.replicas)
	for _, b := range blocks {
		for i, v := range of(b) {
			series[i] = append(series[i], v)
		}
	}
	r, stdErr := lagOne(series)
	return r <= 2.33*stdErr
}

// decides says whether n blocks can show anything at the doubt.
func (w canaryWatch) decides(n int) bool {
	return float64(n)*math.Log(float64(w.replicas)) >= -math.Log(w.doubt)
}

// memory is how long the others' queues remember at most. A queue forgets at the rate mu (1-sqrt(rho))^2 (M/M/1: Cohen, "The Single Server
// Queue", 1982, II.2.1); with the mean response time R = 1/(mu (1-rho)) and N = lambda R requests within, the time is less than 4 R (1+N).
// Queues that are more regular forget sooner.
func (w canaryWatch) memory() time.Duration {
	total := w.total
	failed, due := total.counts()
	n, sum := 0.0, 0.0
	for i, r := range total.Replicas {
		if i == 0 {
			continue
		}
		n += due[i]
		if r.OK > 0 {
			sum += float64(r.OK) * r.Response.Mean() / 1e9
		}
		if total.Unanswered > 0 { // in proportion to its part of them
			sum += total.WaitedS * (failed[i] - float64(r.Failed)) / float64(total.Unanswered)
		}
	}
	if n == 0 {
		return 0
	}
	within := sum / float64(w.replicas-1) / w.seconds()
	return time.Duration(4 * sum / n * (1 + within) * 1e9)
}

func (w canaryWatch) seconds() float64 { return w.length.Seconds() * float64(len(w.cells)) }

// failures compares shares of failures.
func (w canaryWatch) failures() CanaryTest {
	failed, due := w.total.counts()
	t := CanaryTest{P: 1, Canary: w.total.shares()[0]}
	sumFailed, sumDue := 0.0, 0.0
	for i := 1; i < w.replicas; i++ {
		sumFailed, sumDue = sumFailed+failed[i], sumDue+due[i]
	}
	if sumDue > 0 {
		t.Others = sumFailed / sumDue
	}
	blocks := w.independent(1, w.memory(), CanaryCell.shares)
	if blocks == nil {
		return t
	}
	t.Blocks = len(blocks)
	t.P = blockedRanks(wholeBlocks(blocks, CanaryCell.shares))
	t.visible = func() float64 { return w.visibleFailures(blocks, t.Others) }
	return t
}

// fewestPerBlock is how many requests a 95th percentile takes.
const fewestPerBlock = 20

// times compares a percentile of the response times.
func (w canaryWatch) times(percent float64) CanaryTest {
	of := func(c CanaryCell) []float64 { return c.quantiles(percent) }
	whole := of(w.total)
	t := CanaryTest{P: 1}
	if hasNaN(whole) {
		return t
	}
	t.Canary = whole[0]
	good, fewest := int64(0), w.total.Replicas[0].OK
	for i, r := range w.total.Replicas {
		good, fewest = good+r.OK, min(fewest, r.OK)
		if i > 0 {
			t.Others += whole[i] / float64(w.replicas-1)
		}
	}
	memory := w.memory()
	need := max(1, int(math.Ceil(fewestPerBlock*float64(len(w.cells)*w.replicas)/float64(good))))
	blocks := w.independent(need, memory, func(c CanaryCell) []float64 { return logarithms(of(c)) })
	if values := wholeBlocks(blocks, of); w.decides(len(values)) {
		t.Blocks = len(values)
		t.P = blockedRanks(tolerant(values, 1/canaryTolerance))
		t.visible = func() float64 { return w.visibleSlowness(values) }
		return t
	}
	shape := max(1, min(w.seconds()/(outlierRelaxations*memory.Seconds()), float64(fewest)/fewestPerBlock))
	return w.outlier(t, shape)
}

const outlierRelaxations = 2

func logarithms(values []float64) []float64 {
	for i, v := range values {
		values[i] = math.Log(max(v, 1e-9))
	}
	return values
}

// tolerant are blocks with the canary's values multiplied by a factor.
func tolerant(blocks [][]float64, factor float64) [][]float64 {
	list := make([][]float64, len(blocks))
	for i, b := range blocks {
		list[i] = append([]float64{b[0] * factor}, b[1:]...)
	}
	return list
}

// outlier compares times of which the watch has too few independent ones to rank. The response time of a queue is exponential at any
// instant (GI/M/1: Kleinrock, "Queueing Systems" I, 1975, equation 6.30), and its mean over shape independent times has a gamma
// distribution of that shape; so the canary's time over the mean of the others' has an F distribution with 2 shape and 2 shape (replicas -
// 1) degrees of freedom. Times that vary less make it cautious, not wrong.
func (w canaryWatch) outlier(t CanaryTest, shape float64) CanaryTest {
	f := distuv.F{D1: 2 * shape, D2: 2 * shape * float64(w.replicas-1)}
	if t.Others <= 0 {
		return t
	}
	t.P = f.Survival(t.Canary / canaryTolerance / t.Others)
	t.visible = func() float64 { return canaryTolerance * f.Quantile(1-w.doubt) / f.Quantile(1-seenWith) }
	return t
}

// How finely "would have been seen" is computed.
const (
	visibleTrials = 200
	visibleSteps  = 7
)

// visibleFailures is the least share of failures beyond the others' with which a canary would have been taken back with a probability of
// 80 %, by simulation of its failures in the blocks that there were; 0: not even one that fails always.
func (w canaryWatch) visibleFailures(blocks []CanaryCell, others float64) float64 {
	if !w.decides(len(blocks)) {
		return 0
	}
	random := rand.New(rand.NewPCG(1, 2))
	values, due := make([][]float64, len(blocks)), make([]float64, len(blocks))
	for i, b := range blocks {
		_, all := b.counts()
		values[i], due[i] = b.shares(), math.Round(all[0])
	}
	seen := func(more float64) bool {
		return often(func() bool {
			for i, n := range due {
				if values[i][0] = 0; n > 0 {
					values[i][0] = distuv.Binomial{N: n, P: min(1, others+more), Src: random}.Rand() / n
				}
			}
			return blockedRanks(values) <= w.doubt
		})
	}
	return least(seen, 1e-4, 1)
}

// visibleSlowness is how many times slower a canary must be to be taken back with a probability of 80 %, by simulation: its times are those
// of other replicas in other blocks, multiplied; 0: nothing within a thousand.
func (w canaryWatch) visibleSlowness(blocks [][]float64) float64 {
	random := rand.New(rand.NewPCG(3, 4))
	// Without ties the distribution of the ranks is the same each time, so their least sum that is taken back is found once.
	critical := w.criticalRanks(len(blocks))
	seen := func(factor float64) bool {
		return often(func() bool {
			sum := 0
			for _, b := range blocks {
				from := blocks[random.IntN(len(blocks))]
				canary := from[1+random.IntN(w.replicas-1)] * factor / canaryTolerance
				sum += 2
				for _, other := range b[1:] {
					if canary > other {
						sum += 2
					}
				}
			}
			return sum >= critical
		})
	}
	return least(seen, 1, 1000)
}

// criticalRanks is the least sum of doubled ranks over n blocks that is taken back.
func (w canaryWatch) criticalRanks(n int) int {
	distribution := []float64{1}
	for range n {
		next := make([]float64, len(distribution)+2*w.replicas)
		for i, p := range distribution {
			for r := 1; r <= w.replicas; r++ {
				next[i+2*r] += p / float64(w.replicas)
			}
		}
		distribution = next
	}
	tail := 0.0
	for sum := len(distribution) - 1; sum >= 0; sum-- {
		if tail += distribution[sum]; tail > w.doubt {
			return sum + 1
		}
	}
	return 0
}

// often says whether something happens with the probability seenWith, as far as some trials tell.
func often(happens func() bool) bool {
	hits, misses := 0, 0
	for hits < seenWith*visibleTrials && misses <= (1-seenWith)*visibleTrials {
		if happens() {
			hits++
		} else {
			misses++
		}
	}
	return hits >= seenWith*visibleTrials
}

// least is the least x between two bounds that is seen, by bisection of the ratio; 0: not even the upper one is.
func least(seen func(float64) bool, from, to float64) float64 {
	if !seen(to) {
		return 0
	}
	for range visibleSteps {
		if middle := math.Sqrt(from * to); seen(middle) {
			to = middle
		} else {
			from = middle
		}
	}
	return to
}

// conclude decides, and words what was compared.
func (w canaryWatch) conclude(v *CanaryVerdict, confidence float64) {
	_, due := w.total.counts()
	others := -due[0]
	for _, n := range due {
		others += n
	}
	failures := fmt.Sprintf("%s of %.0f requests to the canary failed, %s of %.0f to the others (p = %.2g)",
		sharePercent(v.Failures.Canary), due[0], sharePercent(v.Failures.Others), others, v.Failures.P)
	median, p95 := v.Median.words("median"), v.P95.words("p95")
	if worse := v.worse(w.doubt); worse != "" {
		v.Result = event.CanaryBack
		v.Reason = map[string]string{"failures": failures, "median": "the canary is slower: " + median, "p95": "the canary is slower: " +
			p95}[worse]
		return
	}
	v.Failures.see()
	v.P95.see()
	if v.Failures.Seen == 0 || v.Failures.Seen > mustExclude {
		seen := "no share of failures would have been seen"
		if v.Failures.Seen > 0 {
			seen = fmt.Sprintf("only a canary that fails %s more would have been seen", sharePercent(v.Failures.Seen))
		}
		v.Result = event.CanaryUnknown
		v.Reason = fmt.Sprintf("%.0f requests to the canary and %.0f to the others in %s say too little: %s with %s, and %s is asked: watch "+
			"longer, or raise the rate",
			due[0], others, time.Duration(len(w.cells))*w.length, seen, sharePercent(seenWith), sharePercent(mustExclude))
		return
	}
	slower := ", and no slowness"
	if v.P95.Seen > 0 {
		slower = fmt.Sprintf(" or is %s slower at p95", sharePercent(v.P95.Seen-1))
	}
	v.Result = event.CanaryOn
	v.Reason = fmt.Sprintf("not shown to be worse; a canary that fails %s more%s would have been seen with %s (confidence %.4g; %s; %s; %s)",
		sharePercent(v.Failures.Seen), slower, sharePercent(seenWith), confidence, failures, median, p95)
}

func (t *CanaryTest) see() {
	if t.visible != nil {
		t.Seen = t.visible()
	}
}

func (t *CanaryTest) words(name string) string {
	if t.Canary == 0 {
		return name + " unknown"
	}
	return fmt.Sprintf("%s %s against %s (p = %.2g)", name, FormatSeconds(t.Canary), FormatSeconds(t.Others), t.P)
}

func sharePercent(x float64) string { return fmt.Sprintf("%.3g %%", 100*x) }
