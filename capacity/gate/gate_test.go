package gate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s: %.6g, want %.6g", what, got, want)
	}
}

// The factors were computed apart from this code, from the closed form.
func TestFactor(t *testing.T) {
	for _, c := range []struct {
		alpha, g float64
		n        int
		want     float64
	}{
		{.02, .25, 4, 16.06}, {.02, .25, 5, 7.32}, {.02, .25, 6, 5.95}, {.02, .25, 8, 4.99}, {.02, .25, 12, 4.39}, {.02, .25, 16, 4.16},
		{.02, .25, 24, 3.98}, {.05, .25, 4, 7.21}, {.05, .25, 6, 4.73}, {.05, .25, 8, 4.20}, {.05, .25, 12, 3.84}, {.05, .25, 16, 3.70},
		{.05, .25, 24, 3.60}, {.02, 1, 6, 8.68}, {.02, 1, 8, 5.35}, {.02, 1, 16, 4.00},
	} {
		near(t, "factor", Factor(c.n, c.alpha, c.g), c.want, .006)
	}
	for n := range 6 {
		if f := Factor(n, .02, 1); !math.IsInf(f, 1) {
			t.Errorf("%d values have an interval: %g", n, f)
		}
	}
}

// Where the interval ends, the e-value is 1/alpha.
func TestIntervalIsTheSetOfSmallEValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Sample{N: rapid.IntRange(4, 60).Draw(t, "n"), Mean: rapid.Float64Range(-.2, .2).Draw(t, "mean"),
			SD: rapid.Float64Range(1e-4, .1).Draw(t, "sd")}
		alpha := rapid.SampledFrom([]float64{.01, .02, .05, .2}).Draw(t, "alpha")
		low, high := s.Interval(alpha, mixture)
		if math.IsInf(high, 1) {
			return
		}
		for _, end := range []float64{low, high} {
			if got := s.LogE(end, mixture); math.Abs(got+math.Log(alpha)) > 1e-6 {
				t.Errorf("at an end of the interval the e-value is %g, not %g", math.Exp(got), 1/alpha)
			}
		}
	})
}

// As the degrees of freedom grow, it is the mixture SPRT (Johari et al., "Peeking at A/B tests", KDD 2017) with tau^2 = sd^2/g.
func TestManyValuesAreTheNormalMixture(t *testing.T) {
	const n, mean, sd, g = 200000, .003, 1., .25
	tau2 := sd * sd / g
	want := .5*math.Log(sd*sd/(sd*sd+n*tau2)) + n*n*tau2*mean*mean/(2*sd*sd*(sd*sd+n*tau2))
	near(t, "log e", Sample{n, mean, sd}.LogE(0, g), want, 1e-3)
}

// Darwin's maize, as Fisher tested it.
func TestSignFlipOfDarwinsMaize(t *testing.T) {
	maize := []float64{49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48}
	for i := range maize {
		maize[i] = -maize[i]
	}
	near(t, "one-sided p", SignFlip(maize), 863./32768, 1e-12)
	s := NewSample(maize)
	near(t, "t", -s.Mean/s.SD*math.Sqrt(15), 2.1480, 5e-5)
	for n, want := range map[int]float64{4: .0625, 5: .03125, 6: .015625, 7: .0078125} {
		v := make([]float64, n)
		for i := range v {
			v[i] = -float64(i + 1)
		}
		near(t, "least p", SignFlip(v), want, 1e-12)
	}
}

func TestSignFlipCountsAsAllSignsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.IntRange(-5, 5), 1, 12).Draw(t, "values")
		f, total := make([]float64, len(v)), 0
		for i := range v {
			f[i], total = float64(v[i])*.1, total+v[i]
		}
		count := 0
		for signs := range 1 << len(v) {
			sum := 0
			for i := range v {
				if signs>>i&1 == 0 {
					sum += v[i]
				} else {
					sum -= v[i]
				}
			}
			if sum <= total {
				count++
			}
		}
		if got := SignFlip(f); math.Abs(got-math.Ldexp(float64(count), -len(v))) > 1e-12 {
			t.Errorf("p is %g, of all signs %d of 2^%d", got, count, len(v))
		}
	})
	many := make([]float64, 100)
	for i := range many {
		many[i] = -1
	}
	near(t, "p of 100 values", SignFlip(many), math.Ldexp(1, -40), 1e-18)
}

// From libkalibera's tests.
func TestKaliberaJones(t *testing.T) {
	leaf := func(v ...float64) Tree { return Tree{Values: v} }
	of := func(parts ...Tree) Tree { return Tree{Parts: parts} }
	for _, c := range []struct {
		tree   Tree
		s2, t2 []float64
	}{
		{of(of(leaf(9, 5), leaf(8, 3)), of(leaf(10, 6), leaf(7, 11)), of(leaf(1, 12), leaf(2, 4))), []float64{16.5, 2.6, 3.6}, []float64{16.5,
			-5.7, 2.3}},
		{of(leaf(9, 5, 8, 3), leaf(10, 6, 7, 11), leaf(1, 12, 2, 4)), []float64{12.7, 3.6}, []float64{12.7, .4}},
	} {
		n := c.tree.Variances()
		for i := range c.s2 {
			near(t, "S2", n.S2[i], c.s2[i], .05)
			near(t, "T2", n.T2[i], c.t2[i], .05)
		}
	}
	n := of(of(leaf(3, 4, 3), leaf(1.2, 3.1, 3)), of(leaf(.2, 1, 1.5), leaf(1, 2, 3))).Variances()
	for i, want := range []float64{.72667, .26278, .7747} {
		near(t, "T2", n.T2[i], want, 5e-6*20)
	}
	r := n.Repetitions([]float64{3, 20, 100})
	near(t, "r1", r[0], 4.2937, 5e-5)
	near(t, "r2", r[1], 1.3023, 5e-5)
}

func TestExactProbabilities(t *testing.T) {
	for k, n := range map[int]int{0: 299, 1: 473, 2: 628, 3: 773} { // the fewest of which k prove at most 1 %
		if AtMost(k, n, .95) > .01 || AtMost(k, n-1, .95) <= .01 {
			t.Errorf("%d of %d: %g", k, n, AtMost(k, n, .95))
		}
	}
	near(t, "0 of 412", AtMost(0, 412, .95), 1-math.Pow(.05, 1./412), 1e-9)
	near(t, "59 of 59", AtLeast(59, 59, .95), math.Pow(.05, 1./59), 1e-9)
	near(t, "the lady tasting tea", Fisher(4, 4, 0, 4), 1./70, 1e-12)
	near(t, "no difference", Fisher(0, 5, 0, 5), 1, 1e-12)
	// R: p.adjust(c(.01, .04, .03, .005), "holm")
	for i, want := range []float64{.03, .06, .06, .02} {
		near(t, "Holm", Holm([]float64{.01, .04, .03, .005})[i], want, 1e-12)
	}
}

// The figures of pairs that are printed are those of the formula; how true they are is counted by internal/accuracy.
func TestPairs(t *testing.T) {
	r := DefaultRule()
	for _, c := range []struct {
		sigma      float64
		fail, pass int
	}{{.0042, 6, 4}, {.0071, 8, 6}, {.0099, 12, 8}, {.0141, 18, 10}} {
		if f, p := r.PairsToFail(c.sigma), r.PairsToPass(c.sigma); f != c.fail || p != c.pass {
			t.Errorf("sigma %g: %d pairs fail and %d pass, want %d and %d", c.sigma, f, p, c.fail, c.pass)
		}
	}
	near(t, "found with 6", r.Found(.0061, 6), 1-.99*math.Exp(-.02355), 1e-5)
	rapid.Check(t, func(t *rapid.T) { // Found inverts PairsToFail
		sigma := rapid.Float64Range(.001, .03).Draw(t, "sigma")
		n := r.PairsToFail(sigma)
		if r.Found(sigma, n) > r.Detect+1e-9 || n > leastFail && r.Found(sigma, n-2) < r.Detect {
			t.Errorf("%d pairs find %g, %d find %g", n, r.Found(sigma, n), n-2, r.Found(sigma, n-2))
		}
	})
}

// blocks are those of a gate whose pairs have the given differences, in the order of a sequence's seed.
func blocks(seed uint64, d ...float64) (all []Block) {
	for len(all) < 2*len(d) {
		b := Next(seed, "s", all)
		b.Values, b.Seconds = []float64{30}, 13
		if b.Side == Head {
			b.Values[0] *= math.Exp(d[len(all)/2])
		}
		all = append(all, b)
	}
	return all
}

var rate = []Metric{{Name: "hash_rate(steady)", Unit: "hashes/s"}}

func TestOrderIsFairAndItsPairsAreNextToEachOther(t *testing.T) {
	first := map[Side]int{}
	for quad := range 10000 {
		o := Order(7, quad)
		first[o[0]]++
		if o[0] == o[1] || o[1] != o[2] || o[0] != o[3] {
			t.Fatalf("quad %d is %v", quad, o)
		}
	}
	if math.Abs(float64(first[Base])-5000) > 4*50 {
		t.Errorf("base is first in %d of 10,000 quads", first[Base])
	}
}

// A session that ends anywhere leaves a sequence that the next one goes on with at the pair that is missing.
func TestNextGoesOnWhereASessionWasCut(t *testing.T) {
	whole := blocks(3, .01, .02, .03, .04, .05, .06)
	for cut := range len(whole) {
		rest := slices.Clone(whole[:cut])
		for len(Pairs(rest)) < 6 {
			b := Next(3, "again", rest)
			b.Values = []float64{1}
			rest = append(rest, b)
		}
		for i, p := range Pairs(rest) {
			want := Pairs(whole)[i]
			if p.Base.Quad != want.Base.Quad || p.Base.Place != want.Base.Place || p.Head.Place != want.Head.Place ||
				p.Base.Session != p.Head.Session {
				t.Fatalf("cut after %d blocks: pair %d is %+v", cut, i, p)
			}
		}
		if extra := len(rest) - len(whole); extra != cut%2 {
			t.Errorf("cut after %d blocks: %d were measured anew", cut, extra)
		}
	}
}

// Adding a constant to every difference moves a verdict one way only.
func TestVerdictIsMonotone(t *testing.T) {
	rank := map[string]int{"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SliceOfN(rapid.Float64Range(-.05, .05), 2, 24).Draw(t, "differences")
		shift := rapid.Float64Range(0, .08).Draw(t, "shift")
		better := make([]float64, len(d))
		for i := range d {
			better[i] = d[i] + shift
		}
		a := Judge(DefaultRule(), rate, blocks(1, d...), true)
		b := Judge(DefaultRule(), rate, blocks(1, better...), true)
		if rank[string(a.Outcome)] > rank[string(b.Outcome)] {
			t.Errorf("%s, and with %g more %s", a.Outcome, shift, b.Outcome)
		}
	})
}

func TestVerdicts(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 1))
	draw := func(n int, mean, sigma float64) (d []float64) {
		for range n {
			d = append(d, mean+sigma*noise.NormFloat64())
		}
		return d
	}
	with := func(d []float64, change func(i int, b *Block)) []Block {
		all := blocks(1, d...)
		for i := range all {
			change(i, &all[i])
		}
		return all
	}
	same := func(int, *Block) {}
	void := func(why string, of func(i int, b *Block) bool) func(int, *Block) {
		return func(i int, b *Block) {
			if of(i, b) {
				b.Invalid, b.Values = why, nil
			}
		}
	}
	for _, c := range []struct {
		name, want string
		all        []Block
	}{
		{"alike", "PASS", with(draw(8, 0, .005), same)},
		{"a loss of 6 %", "FAIL", with(draw(8, -.06, .005), same)},
		{"a gain", "PASS", with(draw(8, .06, .005), same)},
		{"too few pairs to fail", "INCONCLUSIVE", with(draw(4, -.06, .005), same)},
		{"noise", "INCONCLUSIVE", with(draw(8, 0, .06), same)},
		{"no noise at all", "PASS", with(make([]float64, 4), same)},
		{"one wild pair", "INCONCLUSIVE", with([]float64{0, 0, 0, 0, 0, -2}, same)},
		{"nothing", "INCONCLUSIVE", nil},
		{"head cannot be measured", "INCONCLUSIVE", with(make([]float64, 8), void("busy", func(_ int, b *Block) bool { return b.Side == Head }))},
		{"base does not come up", "INVALID", with(make([]float64, 2), func(i int, b *Block) {
			if b.Side == Base {
				b.Invalid, b.Values, b.Down = "deploy rng: not converged", nil, true
			}
		})},
		{"three in a row", "INVALID", with(make([]float64, 8), void("busy", func(i int, _ *Block) bool { return i < 3 }))},
		{"a third of the pairs", "INVALID", with(make([]float64, 9), void("busy", func(i int, _ *Block) bool { return i%6 == 0 }))},
		{"one void pair", "PASS", with(make([]float64, 8), void("busy", func(i int, _ *Block) bool { return i == 4 }))},
		{"exceptions in head", "FAIL", with(make([]float64, 6), func(_ int, b *Block) {
			if b.Side == Head {
				b.Errors = 3
			}
		})},
		{"one exception in head", "INCONCLUSIVE", with(make([]float64, 6), func(i int, b *Block) {
			if b.Side == Head && i < 2 {
				b.Errors = 1
			}
		})},
		{"other programs beside head", "INCONCLUSIVE", with(make([]float64, 4), func(_ int, b *Block) {
			if b.Side == Head {
				b.Foreign = .25
			}
		})},
		{"other programs beside base, and a loss", "INCONCLUSIVE", with(draw(8, -.06, .005), func(_ int, b *Block) {
			if b.Side == Base {
				b.Foreign = .25
			}
		})},
		{"more of other programs beside head", "INCONCLUSIVE", with(make([]float64, 4), func(_ int, b *Block) {
			if b.Foreign = .13; b.Side == Head {
				b.Foreign = .6
			}
		})},
		{"other programs beside head, and something once", "INCONCLUSIVE", with(make([]float64, 8), func(i int, b *Block) {
			if b.Side == Head {
				b.Foreign = .25 + .01*float64(i)
			} else if i < 2 {
				b.Foreign = .9
			}
		})},
		{"a little more of other programs beside head", "PASS", with(make([]float64, 4), func(_ int, b *Block) {
			if b.Side == Head {
				b.Foreign = .05
			}
		})},
		{"other programs beside half of the blocks", "PASS", with(make([]float64, 8), func(i int, b *Block) {
			b.Foreign = .25 * float64(i/2%2)
		})},
		{"exceptions in both", "PASS", with(make([]float64, 6), func(_ int, b *Block) { b.Errors = 1 })},
	} {
		if v := Judge(DefaultRule(), rate, c.all, true); string(v.Outcome) != c.want || v.Why == "" {
			t.Errorf("%s: %s (%s), want %s", c.name, v.Outcome, v.Why, c.want)
		}
	}
	for swing, want := range map[float64]string{1e-9: "FAIL", 1e-4: "INCONCLUSIVE"} { // that of rounded instants asks for no more pairs
		d := []float64{-.03, -.03 + swing, -.03, -.03 + swing, -.03, -.03 + swing}
		if v := Judge(DefaultRule(), rate, blocks(1, d...), true); string(v.Outcome) != want {
			t.Errorf("with a swing of %g: %s (%s), want %s", swing, v.Outcome, v.Why, want)
		}
	}
	for loss, told := range map[float64]bool{1e-6: false, 1e-3: true} {
		d := []float64{-loss, -loss, -loss, -loss}
		if v := Judge(DefaultRule(), rate, blocks(1, d...), true); v.Outcome != "PASS" || strings.Contains(v.Why, "a loss all the same") != told {
			t.Errorf("a loss of %g: %s, %s", loss, v.Outcome, v.Why)
		}
	}
	if v := Judge(DefaultRule(), rate, blocks(1, draw(4, -.06, .005)...), false); v.Outcome != "" {
		t.Errorf("a gate that goes on has the verdict %s", v.Outcome)
	}
}

// What could not be measured in one session may be in the next.
func TestNextSessionIsNotInvalidForTheOneBefore(t *testing.T) {
	all := blocks(1, make([]float64, 2)...)
	for i := range all {
		all[i].Invalid, all[i].Values = "busy", nil
	}
	if v := Judge(DefaultRule(), rate, all, true); v.Outcome != "INVALID" || v.Decided() {
		t.Errorf("%s: %s", v.Outcome, v.Why)
	}
	for len(all) < 12 {
		b := Next(1, "again", all)
		b.Values = []float64{30}
		all = append(all, b)
	}
	if v := Judge(DefaultRule(), rate, all, true); v.Outcome != "PASS" || v.Void != 2 {
		t.Errorf("%s with %d void pairs: %s", v.Outcome, v.Void, v.Why)
	}
}
