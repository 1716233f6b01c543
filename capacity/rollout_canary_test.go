package capacity

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/race"
)

// trialOfCanary is a service of first-come-first-served replicas under an open load, and what differs in the canary.
type trialOfCanary struct {
	replicas    int
	rate        float64 // requests a second
	service     float64 // seconds, the mean
	exponential bool
	regular     bool    // arrivals; otherwise Poisson
	random      bool    // balancing; otherwise in turn
	watch       int     // seconds
	timeout     float64 // seconds; 0: none

	errors    float64 // the canary's, beyond the others'
	common    float64 // everyone's errors
	slower    float64 // times; 0: 1
	sometimes float64 // share of the requests that are; 0: all
	refuses   bool
}

func (c trialOfCanary) play(seed uint64) []CanaryCell {
	random := rand.New(rand.NewPCG(seed, 99))
	const before = 20.0
	free := make([]float64, c.replicas)
	cells := make([]CanaryCell, c.watch)
	for i := range cells {
		cells[i].Replicas = make([]Served, c.replicas)
	}
	at, next := 0.0, random.IntN(c.replicas)
	for at < before+float64(c.watch) {
		if c.regular {
			at += 1 / c.rate
		} else {
			at += random.ExpFloat64() / c.rate
		}
		r := next
		next = (next + 1) % c.replicas
		if c.random {
			r = random.IntN(c.replicas)
		}
		canary := r == 0 && at >= before
		cell := func(t float64) *CanaryCell {
			if i := int(math.Floor(t - before)); i >= 0 && i < c.watch {
				return &cells[i]
			}
			return nil
		}
		if canary && c.refuses {
			if x := cell(at); x != nil {
				x.Unanswered++
			}
			continue
		}
		s := c.service
		if c.exponential {
			s *= random.ExpFloat64()
		}
		if canary && c.slower > 0 && (c.sometimes == 0 || random.Float64() < c.sometimes) {
			s *= c.slower
		}
		free[r] = max(free[r], at) + s
		done := free[r]
		response := done - at
		failed := random.Float64() < c.common || canary && random.Float64() < c.errors
		if c.timeout > 0 && response > c.timeout {
			if x := cell(at + c.timeout); x != nil {
				x.Unanswered++
				x.WaitedS += c.timeout
			}
			continue
		}
		x := cell(done)
		if x == nil {
			continue
		}
		if failed {
			x.Replicas[r].Failed++
			continue
		}
		x.Replicas[r].OK++
		if x.Replicas[r].Response == nil {
			x.Replicas[r].Response = history.NewHistogram()
		}
		_ = x.Replicas[r].Response.RecordValue(int64(response * 1e9))
	}
	return cells
}

// How often canaries are taken back that are like the others: no oftener than one in a hundred, which the confidence allows, as far as 150
// of each tell; and those that are worse: in nine of ten. The table of docs/accuracy.md is longer.
func TestCanaries(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	alike, worse, tries := 0, 0, 0
	for _, c := range []trialOfCanary{
		{replicas: 4, rate: 12, service: .1, watch: 60},
		{replicas: 4, rate: 34, service: .1, watch: 60},
		{replicas: 4, rate: 34, service: .1, watch: 60, regular: true},
		{replicas: 4, rate: 20, service: .1, watch: 60, exponential: true},
		{replicas: 4, rate: 28, service: .1, watch: 60, exponential: true, random: true},
		{replicas: 4, rate: 34, service: .1, watch: 60, exponential: true},
		{replicas: 4, rate: 36, service: .1, watch: 60, exponential: true, random: true},
		{replicas: 2, rate: 17, service: .1, watch: 60, exponential: true},
		{replicas: 10, rate: 85, service: .1, watch: 30, exponential: true},
		{replicas: 4, rate: 34, service: .1, watch: 60, exponential: true, random: true, timeout: .5}, // failures in runs
		{replicas: 4, rate: 50, service: .03, watch: 30, exponential: true, common: .03},
	} {
		for seed := range uint64(150) {
			if c.judge(seed).Result == event.CanaryBack {
				alike++
			}
			tries++
		}
	}
	if alike > tries/100+10 { // three standard errors
		t.Errorf("%d of %d canaries that are like the others were taken back", alike, tries)
	}
	tries = 0
	base := trialOfCanary{replicas: 4, rate: 50, watch: 30, exponential: true}
	for _, service := range []float64{.004, .024, .04, .068} { // up to 85 % busy
		for seed := range uint64(25) {
			fails, slow := base, base
			fails.service, fails.errors = service, .05
			slow.service, slow.slower = service, 2
			for _, c := range []trialOfCanary{fails, slow} {
				if c.judge(seed).Result == event.CanaryBack {
					worse++
				}
				tries++
			}
		}
	}
	if worse < tries*9/10 {
		t.Errorf("%d of %d canaries that are worse were taken back", worse, tries)
	}
}

func (c trialOfCanary) judge(seed uint64) CanaryVerdict {
	w := newCanaryWatch(c.play(seed), time.Second, .99)
	v := CanaryVerdict{Result: event.CanaryOn}
	if w.compare(&v); v.worse(w.doubt) != "" {
		v.Result = event.CanaryBack
	}
	return v
}

func TestJudgeCanary(t *testing.T) {
	base := trialOfCanary{replicas: 4, rate: 50, service: .01, exponential: true, watch: 30}
	with := func(change func(*trialOfCanary)) trialOfCanary {
		c := base
		change(&c)
		return c
	}
	for _, c := range []struct {
		name   string
		trial  trialOfCanary
		want   event.Verdict
		reason string
	}{
		{"the same", base, event.CanaryOn, "not shown to be worse; a canary that fails"},
		{"refuses connections", with(func(c *trialOfCanary) { c.refuses = true }), event.CanaryBack, "100 % of 3"},
		{"fails", with(func(c *trialOfCanary) { c.errors = .1 }), event.CanaryBack, "to the canary failed, 0 % of"},
		{"is as bad as the others", with(func(c *trialOfCanary) { c.common = .01 }), event.CanaryOn, "not shown"},
		{"is slow now and then", with(func(c *trialOfCanary) { c.sometimes, c.slower = .3, 20 }), event.CanaryBack,
			"the canary is slower: median"},
		{"is slower by less than matters", with(func(c *trialOfCanary) { c.slower, c.exponential = 1.05, false }), event.CanaryOn, "not shown"},
		{"has few requests", with(func(c *trialOfCanary) { c.rate, c.watch = 10, 20 }), event.CanaryUnknown,
			"say too little: only a canary that fails"},
		{"has few seconds", with(func(c *trialOfCanary) { c.rate, c.watch = 500, 4 }), event.CanaryUnknown, "say too little"},
		{"has no requests", with(func(c *trialOfCanary) { c.rate = 1e-6 }), event.CanaryUnknown, "0 requests to the canary"},
	} {
		v := JudgeCanary(c.trial.play(1), time.Second, .99)
		if v.Result != c.want || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("%s: %s: %s\nwant %s: %s", c.name, v.Result, v.Reason, c.want, c.reason)
		}
	}
	for _, cells := range [][]CanaryCell{nil, {{Replicas: make([]Served, 1)}}} {
		if v := JudgeCanary(cells, time.Second, .99); v.Result != event.CanaryUnknown {
			t.Errorf("%d seconds of one replica: %+v", len(cells), v)
		}
	}
}

// What would have been seen, is: a canary that is worse by as much is taken back in 80 %.
func TestWhatACanaryWouldHaveShown(t *testing.T) {
	c := trialOfCanary{replicas: 4, rate: 50, service: .02, exponential: true, watch: 30}
	v := JudgeCanary(c.play(7), time.Second, .99)
	if v.Result != event.CanaryOn || v.Failures.Seen < .01 || v.Failures.Seen > .05 || v.P95.Seen < 1.2 || v.P95.Seen > 3 {
		t.Fatalf("%+v", v)
	}
	c.errors = v.Failures.Seen
	seen := 0
	for seed := range uint64(200) {
		if c.judge(100+seed).Failures.P <= .01/canaryTests {
			seen++
		}
	}
	if seen < 140 || seen > 180 {
		t.Errorf("failing %.2g more was seen in %d of 200; want 160", c.errors, seen)
	}
}

// The exact test against every assignment.
func TestBlockedRanksAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.SliceOfN(rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 4), func(i int) float64 { return float64(i) }), 2, 4), 1, 4).Draw(t,
			"blocks")
		first, all, extreme := 0, 0, 0
		for _, b := range blocks {
			first += doubledRanks(b)[0]
		}
		var assign func(i, sum int)
		assign = func(i, sum int) {
			if i == len(blocks) {
				if all++; sum >= first {
					extreme++
				}
				return
			}
			n := len(blocks[i])
			for _, r := range doubledRanks(blocks[i]) { // each as often as to make the blocks' sizes even
				for range 12 / n {
					assign(i+1, sum+r)
				}
			}
		}
		assign(0, 0)
		if p := blockedRanks(blocks); math.Abs(p-float64(extreme)/float64(all)) > 1e-9 {
			t.Fatalf("%v: %g; want %d of %d", blocks, p, extreme, all)
		}
	})
}

func TestLagOne(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, want := range []float64{0, .6} {
		series := make([][]float64, 3)
		for i := range series {
			v := 0.0
			for range 3000 {
				v = want*v + random.NormFloat64()
				series[i] = append(series[i], v+float64(100*i))
			}
			series[i][7] = math.NaN()
		}
		if r, stdErr := lagOne(series); math.Abs(r-want) > .04 || math.Abs(stdErr-1/math.Sqrt(9000)) > .001 {
			t.Errorf("%g +- %g; want %g", r, stdErr, want)
		}
	}
	if r, _ := lagOne([][]float64{{.1, .1, .1}, {math.NaN(), 1}}); r != 0 {
		t.Errorf("constant series: %g", r)
	}
}
