package main

import (
	"math"
	"testing"

	"coinbench/capacity/gate"
	"coinbench/internal/race"
)

// The study of docs/gate.md, smaller. Of 400 gates 1 % fail more than 12 times with a probability of one in 1,000.
func TestGatesKeepTheirPromise(t *testing.T) {
	t.Parallel()
	n, most := 400, 12
	if race.Enabled {
		n, most = 60, 5
	}
	for _, c := range append(noises(), normal(.002), normal(.007), normal(.014), normal(.03)) {
		for _, theta := range []float64{0, math.Log(.99)} {
			if p := playGates(c, theta, n); p.fail > most {
				t.Errorf("%s, a loss of %.1f %%: %d of %d gates fail", c.name, -100*math.Expm1(theta), p.fail, n)
			}
		}
	}
	for _, sigma := range []float64{.002, .0071, .0141} { // a loss of 3 % is found in 95 %, and passes at most 2.5 %
		p := playGates(normal(sigma), math.Log(.97), n)
		if float64(p.fail) < .93*float64(n) || float64(p.pass) > .04*float64(n) {
			t.Errorf("sigma %g: of %d gates with a loss of 3 %% %d fail and %d pass", sigma, n, p.fail, p.pass)
		}
		planned := gate.DefaultRule().PairsToFail(sigma)
		if needed := p.failed[int(.94*float64(n))]; needed > planned+2 {
			t.Errorf("sigma %g: %d pairs for 94 %% of gates, planned %d", sigma, needed, planned)
		}
	}
}

// What the gate is held against does break, so that the study can tell.
func TestNaiveGatesBreak(t *testing.T) {
	t.Parallel()
	all := noises()
	peeking, _, _ := naive(normal(.01), 1000)
	if peeking < 20 {
		t.Errorf("looking after each quad fails %d of 1,000", peeking)
	}
	_, ordered, _ := naive(all[len(all)-1], 200)
	if ordered < 150 {
		t.Errorf("a fixed order fails %d of 200", ordered)
	}
	_, _, apart := naive(all[len(all)-3], 1000)
	if apart < 40 {
		t.Errorf("blocks that depend on each other fail %d of 1,000", apart)
	}
}

// Gates of the simulated app against itself do not fail, whatever is left to chance in it.
func TestGatesOfTheSimulatedApp(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	for _, a := range simulatedApps() {
		p, sd, err := a.alike(6)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d of %d pass, a pair varies by %.2f %%", a.name, p.pass, p.n, 100*sd)
		if p.fail > 0 {
			t.Errorf("%s: %d of %d gates fail", a.name, p.fail, p.n)
		}
	}
}
