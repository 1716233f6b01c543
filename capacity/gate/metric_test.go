package gate

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"coinbench/capacity"
)

var rolloutMetrics = []Metric{
	{Name: "availability(release)", Unit: Share, Difference: true},
	{Name: "lost_requests(release)", Unit: "requests", Lower: true, Difference: true, Limits: &Rule{Tolerate: 5, Detect: 20}},
	{Name: "p99(release)", Unit: "s", Lower: true, Limits: &Rule{Tolerate: .05, Detect: .2}},
}

// rollouts are the blocks of pairs, with what head loses in each metric in units of its limits.
func rollouts(seed uint64, pairs int, loss [3]float64) (all []Block) {
	r := rand.New(rand.NewPCG(seed, 5))
	for len(all) < 2*pairs {
		b := Next(seed, "s", all)
		worse := loss
		if b.Side == Base {
			worse = [3]float64{}
		}
		failed := 0.0
		if r.Float64() < .3 {
			failed = math.Floor(3 * r.ExpFloat64())
		}
		b.Values = []float64{1 - failed/5000 - worse[0], failed + worse[1], .1 * math.Exp(.03*r.NormFloat64()-math.Log1p(-worse[2]))}
		all = append(all, b)
	}
	return all
}

// judged plays gates until each is decided or has 24 pairs.
func judged(t *testing.T, gates int, loss [3]float64) map[capacity.Outcome]int {
	t.Helper()
	count := map[capacity.Outcome]int{}
	for seed := range uint64(gates) {
		all := rollouts(seed, MostPairs, loss)
		for n := 4; ; n += 4 {
			if v := Judge(DefaultRule(), rolloutMetrics, all[:n], n == len(all)); v.Outcome != "" {
				count[v.Outcome]++
				break
			}
		}
	}
	return count
}

// Metrics of a rollout together fail at most 1 % of gates of equals, and of a head that loses in each what is tolerated; and what is to be
// detected of any one of them is found.
func TestSeveralMetricsHoldTheirErrorsTogether(t *testing.T) {
	const gates = 300
	if c := judged(t, gates, [3]float64{}); c[capacity.OutcomeFail] > 4 || c[capacity.OutcomePass] < gates*95/100 {
		t.Errorf("equals: %v", c)
	}
	if c := judged(t, gates, [3]float64{.01, 5, .05}); c[capacity.OutcomeFail] > 8 { // .9 % of which is 2.7; 9 or more have p < .002
		t.Errorf("what is tolerated: %v", c)
	}
	for i := range 3 {
		loss := [3]float64{}
		loss[i] = rolloutMetrics[i].Rule(DefaultRule()).Detect
		if c := judged(t, gates, loss); c[capacity.OutcomeFail] < gates*95/100 {
			t.Errorf("%s alone loses %g: %v", rolloutMetrics[i].Name, loss[i], c)
		}
	}
}

// A share and a count are compared by their difference, in points and in their unit; a count without limits of its own is refused.
func TestMetricsSayTheirChangesInTheirUnits(t *testing.T) {
	v := Judge(DefaultRule(), rolloutMetrics, rollouts(1, 8, [3]float64{.04, 200, .5}), true)
	if v.Outcome != capacity.OutcomeFail {
		t.Fatalf("%s: %s", v.Outcome, v.Why)
	}
	for i, want := range []string{"-4.0 points [", "+200", "+9"} {
		if text := v.Metrics[i].Text(); !strings.HasPrefix(text, want) {
			t.Errorf("%s: %s, want %s", v.Metrics[i].Name, text, want)
		}
	}
	for _, c := range []struct{ got, want string }{
		{rolloutMetrics[0].Amount(.01), "1 point"}, {rolloutMetrics[0].Amount(.0003), "0.03 points"}, {rolloutMetrics[1].Amount(1), "1 request"},
		{rolloutMetrics[1].Amount(20), "20 requests"}, {rolloutMetrics[2].Amount(.2), "20 %"}, {rolloutMetrics[0].Value(.99991), "99.991 %"},
		{Metric{Unit: "hashes", Difference: true}.Amount(1), "1 hash"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	bare := Metric{Name: "hashes_lost(forth)", Unit: "hashes", Lower: true, Difference: true}
	if err := bare.Check(DefaultRule()); err == nil || !strings.Contains(err.Error(), "--metric 'hashes_lost(forth) 10..30'") {
		t.Errorf("a count without limits: %v", err)
	}
	bare.Limits = &Rule{Tolerate: 10, Detect: 10}
	if bare.Check(DefaultRule()) == nil {
		t.Error("limits that are alike are accepted")
	}
}

// While more than a quarter of the pairs is void there is no verdict, and as soon as it is not there is one, whose pairs are all the
// others.
func TestVoidPairsDelayAVerdict(t *testing.T) {
	all := blocks(1, make([]float64, 12)...)
	for _, i := range []int{0, 4, 8} {
		all[i].Invalid, all[i].Values = "busy", nil
	}
	if v := Judge(DefaultRule(), rate, all[:16], false); v.Outcome != "" {
		t.Errorf("3 of 8 are void: %s (%s)", v.Outcome, v.Why)
	}
	if v := Judge(DefaultRule(), rate, all[:16], true); v.Outcome != capacity.OutcomeInvalid || !strings.Contains(v.Why, "the last: busy") {
		t.Errorf("3 of 8 are void at the end: %s (%s)", v.Outcome, v.Why)
	}
	if v := Judge(DefaultRule(), rate, all, false); v.Outcome != capacity.OutcomePass || v.Pairs != 9 {
		t.Errorf("3 of 12 are void: %s (%s)", v.Outcome, v.Why)
	}
	for i := range 5 {
		all[4*i].Invalid, all[4*i].Values = "busy", nil
	}
	if v := Judge(DefaultRule(), rate, all, false); v.Outcome != "" {
		t.Errorf("5 of 12, which may be a quarter: %s (%s)", v.Outcome, v.Why)
	}
	all[2].Invalid, all[6].Invalid, all[10].Invalid = "busy", "busy", "busy"
	if v := Judge(DefaultRule(), rate, all, false); v.Outcome != capacity.OutcomeInvalid {
		t.Errorf("8 of 12 are void: %s (%s)", v.Outcome, v.Why)
	}
}

// A null arm is base once more: it takes nothing from a FAIL of a head that is slower, and takes it away where the second side deployed
// loses whatever it is.
func TestNullArm(t *testing.T) {
	for _, c := range []struct {
		name string
		loss func(side Side) float64
		want capacity.Outcome
	}{
		{"head is slower", func(s Side) float64 { return map[Side]float64{Head: .06}[s] }, capacity.OutcomeFail},
		{"both are slower than base", func(s Side) float64 { return map[Side]float64{Head: .06, Null: .06}[s] }, capacity.OutcomeInconclusive},
		{"alike", func(Side) float64 { return 0 }, capacity.OutcomePass},
	} {
		r := rand.New(rand.NewPCG(1, 9))
		var all []Block
		count := map[Side]int{}
		for len(all) < 48 {
			session := "s"
			if len(all) > 20 { // cut within a pair: the next session measures that pair anew
				session = "t"
			}
			b := NextOfThree(7, session, all)
			b.Values = []float64{30 * math.Exp(.003*r.NormFloat64()-c.loss(b.Side))}
			count[b.Side]++
			all = append(all, b)
		}
		v := Judge(DefaultRule(), rate, all, true)
		if v.Outcome != c.want || v.Null == nil || v.Pairs < 14 {
			t.Errorf("%s: %s (%s) of %d pairs, null %+v", c.name, v.Outcome, v.Why, v.Pairs, v.Null)
		}
		if count[Base] < 15 || count[Head] < 15 || count[Null] < 15 {
			t.Errorf("%s: %v", c.name, count)
		}
	}
}
