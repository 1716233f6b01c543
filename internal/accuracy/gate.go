package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"coinbench/capacity"
	"coinbench/capacity/des"
	"coinbench/capacity/gate"
)

// gates is how many are played for a cell.
const gates = 20_000

// blockS is what a block takes, in seconds: its deployment, 2 s to settle and a window of 10 s.
const blockS = 13.5

// noise is how the logarithm of a block's rate varies, in the order of time; second says whether the block is the second of its pair.
type noise struct {
	name string
	next func(*rand.Rand) func(at int, second bool) float64
}

// independent is noise that does not know of the other blocks.
func independent(name string, draw func(*rand.Rand) float64) noise {
	return noise{name, func(r *rand.Rand) func(int, bool) float64 { return func(int, bool) float64 { return draw(r) } }}
}

// normal has the standard deviation sigma for a pair.
func normal(sigma float64) noise {
	return independent(fmt.Sprintf("normal, %.3g %% a pair", 100*sigma),
		func(r *rand.Rand) float64 { return sigma / math.Sqrt2 * r.NormFloat64() })
}

// noises are those that are not normal, or not independent. A block's standard deviation is .5 % where it has one.
func noises() []noise {
	const sd = .005
	return []noise{
		independent("Student's t, 3 degrees of freedom", func(r *rand.Rand) float64 {
			return sd / math.Sqrt(3) * distuv.StudentsT{Sigma: 1, Nu: 3, Src: r}.Rand()
		}),
		independent("Laplace", func(r *rand.Rand) float64 {
			return sd / math.Sqrt2 * distuv.Laplace{Scale: 1, Src: r}.Rand()
		}),
		independent("a stall of 10 % in one block of 20", func(r *rand.Rand) float64 {
			x := .002 * r.NormFloat64()
			if r.Float64() < .05 {
				x -= .1
			}
			return x
		}),
		independent("two modes, ±1.5 %", func(r *rand.Rand) float64 { return .015*float64(2*r.IntN(2)-1) + .002*r.NormFloat64() }),
		{"blocks that depend on each other (AR(1), .5)", func(r *rand.Rand) func(int, bool) float64 {
			x := sd * r.NormFloat64()
			return func(int, bool) float64 {
				x = .5*x + sd*math.Sqrt(.75)*r.NormFloat64()
				return x
			}
		}},
		{"drift of 2 % an hour", func(r *rand.Rand) func(int, bool) float64 {
			return func(at int, _ bool) float64 { return -.02*float64(at)*blockS/3600 + sd*r.NormFloat64() }
		}},
		{"the second block of a pair is 1 % slower", func(r *rand.Rand) func(int, bool) float64 {
			return func(_ int, second bool) float64 {
				x := sd * r.NormFloat64()
				if second {
					x -= .01
				}
				return x
			}
		}},
	}
}

var hashRate = []gate.Metric{{Name: "hash_rate", Unit: "hashes/s"}}

// playGate plays a gate whose head's rate is exp(theta) times base's, until it is decided or there are as many pairs as may be.
func playGate(n noise, theta float64, seed uint64) gate.Verdict {
	next := n.next(rand.New(rand.NewPCG(seed, 20261128)))
	var blocks []gate.Block
	for {
		for range 4 {
			b := gate.Next(seed, "s", blocks)
			x := next(len(blocks), b.Place%2 == 1)
			if b.Side == gate.Head {
				x += theta
			}
			b.Values = []float64{30 * math.Exp(x)}
			blocks = append(blocks, b)
		}
		if v := gate.Judge(gate.DefaultRule(), hashRate, blocks, len(blocks) >= 2*gate.MostPairs); v.Outcome != "" {
			return v
		}
	}
}

// played are the verdicts of many gates.
type gatesPlayed struct {
	n, fail, pass int
	failed        []int // pairs until a FAIL; those without one have more than MostPairs
	passed        []int
}

func playGates(n noise, theta float64, count int) (p gatesPlayed) {
	p.n = count
	for seed := range uint64(count) {
		failed, passed := gate.MostPairs+1, gate.MostPairs+1
		switch v := playGate(n, theta, seed+1); v.Outcome {
		case capacity.OutcomeFail:
			p.fail++
			failed = v.Pairs
		case capacity.OutcomePass:
			p.pass++
			passed = v.Pairs
		}
		p.failed, p.passed = append(p.failed, failed), append(p.passed, passed)
	}
	slices.Sort(p.failed)
	slices.Sort(p.passed)
	return p
}

// share is a count of all, in percent, with the one-sided 95 % bound above it.
func (p gatesPlayed) share(k int) string {
	return fmt.Sprintf("%.2f %% (≤ %.2f)", 100*float64(k)/float64(p.n), 100*gate.AtMost(k, p.n, .95))
}

// pairsFor is the number of pairs that so large a share of the gates needs.
func pairsFor(pairs []int, share float64) string {
	n := pairs[min(len(pairs)-1, int(math.Ceil(share*float64(len(pairs))))-1)]
	if n > gate.MostPairs {
		return "–"
	}
	return fmt.Sprint(n)
}

// naive are tests as they are often made, of blocks without a loss: how often each says that there is one.
func naive(n noise, count int) (peeking, ordered, apart int) {
	for seed := range uint64(count) {
		r := rand.New(rand.NewPCG(seed, 7))
		if peeks(n.next(r), func(quad int) [4]gate.Side { return gate.Order(seed, quad) }) {
			peeking++
		}
		if peeks(n.next(r), func(int) [4]gate.Side { return [4]gate.Side{gate.Base, gate.Head, gate.Base, gate.Head} }) {
			ordered++
		}
		next := n.next(r)
		var base, head []float64
		for i := range 2 * gate.MostPairs {
			x := next(i, i%2 == 1)
			if i < gate.MostPairs {
				base = append(base, x)
			} else {
				head = append(head, x)
			}
		}
		b, h := gate.NewSample(base), gate.NewSample(head)
		t := (h.Mean - b.Mean) / math.Sqrt((b.SD*b.SD+h.SD*h.SD)/gate.MostPairs)
		if (distuv.StudentsT{Sigma: 1, Nu: 2*gate.MostPairs - 2}).CDF(t) < .01 {
			apart++
		}
	}
	return peeking, ordered, apart
}

// peeks says whether a one-sided paired t test at 1 % ever finds a loss, when it is made after each quad from 6 pairs on.
func peeks(next func(int, bool) float64, order func(quad int) [4]gate.Side) bool {
	var d []float64
	for quad := range gate.MostPairs / 2 {
		sides := order(quad)
		for place := 0; place < 4; place += 2 {
			first, second := next(4*quad+place, false), next(4*quad+place+1, true)
			if sides[place] == gate.Base {
				first, second = second, first
			}
			d = append(d, first-second)
		}
		s := gate.NewSample(d)
		if s.N >= 6 && (distuv.StudentsT{Sigma: 1, Nu: float64(s.N - 1)}).CDF(s.Mean/s.SD*math.Sqrt(float64(s.N))) < .01 {
			return true
		}
	}
	return false
}

func gateTables() []table {
	return []table{gateFalse(), gateNoise(), gateSim(), gateFound(), gatePower(), gateSeveral(), gateChanges(), gateChangesBest()}
}

func sigmas() []float64 { return []float64{.002, .007, .014, .03} }

// gateFalse counts gates of a head that is as good, or loses what is tolerated.
func gateFalse() table {
	return table{name: "gate-false", title: "False alarms: head loses nothing, or the 1 % that is tolerated", text: `
20,000 simulated gates in each row, of at most 24 pairs, with noise that is normal. FAIL: the share of them, and the one-sided 95 % bound
above it, which may be 1.2 %. Pairs: how many the gates that pass took, in the median and in 95 % of all gates. Naive: the share of 20,000
series of pairs without a loss in which a paired t test at 1 %, made after each quad from 6 pairs on, ever finds one.`, rows: func() ([][]string, error) {
		rows := [][]string{{"a pair's standard deviation", "loss", "FAIL", "PASS", "INCONCLUSIVE", "pairs to a PASS", "naive, the same looks"}}
		for _, sigma := range sigmas() {
			for _, loss := range []float64{0, .01} {
				p := playGates(normal(sigma), math.Log1p(-loss), gates)
				row := []string{fmt.Sprintf("%.1f %%", 100*sigma), gate.Percent(loss), p.share(p.fail), share(p.pass, p.n),
					share(p.n-p.pass-p.fail, p.n), pairsFor(p.passed, .5) + ", " + pairsFor(p.passed, .95), ""}
				if loss == 0 {
					peeking, _, _ := naive(normal(sigma), gates)
					row[6] = share(peeking, gates)
				}
				rows = append(rows, row)
			}
		}
		return rows, nil
	}}
}

func share(k, n int) string { return fmt.Sprintf("%.2f %%", 100*float64(k)/float64(n)) }

// gateNoise counts the same under noise that breaks other tests.
func gateNoise() table {
	return table{name: "gate-noise", title: "False alarms under noise that is not normal, or not independent", text: `
20,000 gates in each row of a head that is as good as base. The last three columns are what breaks: a paired t test at 1 %, one-sided,
after each quad, of pairs in random order; the same where base is always first in a pair; and one test of 24 blocks of base and then 24 of
head that are not paired.`,
		rows: func() ([][]string, error) {
			rows := [][]string{{"noise", "FAIL", "PASS", "pairs to a PASS", "naive, random order", "naive, base first", "base, then head"}}
			for _, n := range noises() {
				p := playGates(n, 0, gates)
				peeking, ordered, apart := naive(n, gates)
				rows = append(rows, []string{n.name, p.share(p.fail), share(p.pass, p.n), pairsFor(p.passed, .5) + ", " + pairsFor(p.passed, .95),
					share(peeking, gates), share(ordered, gates), share(apart, gates)})
			}
			return rows, nil
		}}
}

// gateFound counts gates of a head that loses what is to be detected.
func gateFound() table {
	return table{name: "gate-found", title: "A loss of 3 %", text: `
20,000 gates in each row, of at most 24 pairs. Pairs: how many a FAIL took, in the median and in 95 % of all gates (– : more than 24), and
how many were planned for 95 %.`, rows: func() ([][]string, error) {
		rows := [][]string{{"noise", "FAIL", "PASS", "INCONCLUSIVE", "pairs to a FAIL", "planned"}}
		for _, sigma := range []float64{.002, .0042, .0071, .0099, .0141, .03} {
			p := playGates(normal(sigma), math.Log(.97), gates)
			rows = append(rows, append(found(normal(sigma), p), fmt.Sprint(gate.DefaultRule().PairsToFail(sigma))))
		}
		for _, n := range noises() {
			rows = append(rows, append(found(n, playGates(n, math.Log(.97), gates)), ""))
		}
		return rows, nil
	}}
}

func found(n noise, p gatesPlayed) []string {
	return []string{n.name, share(p.fail, p.n), p.share(p.pass), share(p.n-p.fail-p.pass, p.n), pairsFor(p.failed,
		.5) + ", " + pairsFor(p.failed, .95)}
}

// gatePower is the power curve.
func gatePower() table {
	losses := []float64{0, .005, .01, .015, .02, .025, .03, .035, .04, .05}
	return table{name: "gate-power", title: "Power", text: `
The share of 4,000 gates that FAIL within 24 pairs, by the loss and by the coefficient of variation of a block (a pair's standard
deviation is 1.41 times it); in brackets the share that PASS.`, rows: func() ([][]string, error) {
		rows := [][]string{{"CV of a block"}}
		for _, l := range losses {
			rows[0] = append(rows[0], gate.Percent(l))
		}
		for _, cv := range []float64{.003, .005, .007, .01} {
			row := []string{fmt.Sprintf("%.1f %%", 100*cv)}
			for _, l := range losses {
				p := playGates(normal(cv*math.Sqrt2), math.Log1p(-l), gates/5)
				row = append(row, fmt.Sprintf("%.1f %% (%.1f)", 100*float64(p.fail)/float64(p.n), 100*float64(p.pass)/float64(p.n)))
			}
			rows = append(rows, row)
		}
		return rows, nil
	}}
}

// gateSim counts gates of the simulated app against itself.
func gateSim() table {
	return table{name: "gate-sim", title: "False alarms of the simulated app", text: `
750 gates in each row of the app against itself, of at most 24 pairs; each block is a deployment of its own, from a seed of its own, that
settles for 2 s and is measured for 10 s.`, rows: func() ([][]string, error) {
		rows := [][]string{{"app", "FAIL", "PASS", "a pair's standard deviation"}}
		total, failed := 0, 0
		for _, c := range simulatedApps() {
			p, sd, err := c.alike(750)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			total, failed = total+p.n, failed+p.fail
			rows = append(rows, []string{c.name, fmt.Sprintf("%d of %d", p.fail, p.n), share(p.pass, p.n), fmt.Sprintf("%.2f %%", 100*sd)})
		}
		return append(rows, []string{"all", fmt.Sprintf("%d of %d (≤ %.2f %%)", failed, total, 100*gate.AtMost(failed, total, .95)), "", ""}), nil
	}}
}

type simulatedApp struct {
	name string
	setting
}

func simulatedApps() []simulatedApp {
	app := func(name string, s setting) simulatedApp {
		s.workers, s.rng, s.settle, s.window = 10, 5, 2*time.Second, 10*time.Second
		return simulatedApp{name, s}
	}
	return []simulatedApp{
		app("constant delays, round robin", setting{spread: time.Second}),
		app("constant delays, replicas at random", setting{balance: des.Random}),
		app("delays that vary by 10 ms", setting{env: map[string]string{"rng/COIN_DELAY_DISTRIBUTION": "normal",
			"rng/COIN_DELAY_JITTER": "10ms"}}),
		app("exponential delays", setting{env: exponential()}),
	}
}

// alike plays gates of the app against itself.
func (a simulatedApp) alike(count int) (p gatesPlayed, sd float64, err error) {
	p.n = count
	for seed := range uint64(count) {
		var blocks []gate.Block
		var v gate.Verdict
		for v.Outcome == "" {
			for range 4 {
				b := gate.Next(seed, "s", blocks)
				windows, err := a.measure(b.Seed)
				if err != nil {
					return p, 0, err
				}
				b.Values = []float64{windows[0].HashRate.Value}
				blocks = append(blocks, b)
			}
			v = gate.Judge(gate.DefaultRule(), hashRate, blocks, len(blocks) >= 2*gate.MostPairs)
		}
		switch v.Outcome {
		case capacity.OutcomeFail:
			p.fail++
		case capacity.OutcomePass:
			p.pass++
		}
		sd += v.Metrics[0].SD * v.Metrics[0].SD / float64(count)
	}
	return p, math.Sqrt(sd), nil
}
