package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// alikeSeries has blocks of the given kind whose logarithm varies by what next gives.
func alikeSeries(kind Kind, blocks int, next func(i int) float64) Series {
	session := Session{ID: "s", Sequence: "q", Kind: kind, Seed: 7, Design: Design{BlockS: 10, Rule: DefaultRule(),
		Metrics: []Metric{{Name: "hash_rate(steady)", Unit: "hashes/s"}}}}
	s := Series{Sessions: []Session{session}}
	for i := range blocks {
		b := Next(7, "s", s.Blocks)
		b.Values, b.Seconds = []float64{30 * math.Exp(next(i))}, 13
		s.Blocks = append(s.Blocks, b)
	}
	return s
}

// What varies within deployments and between them is found again, and a deployment with an invalid window is left out.
func TestSpreadTellsWithinFromBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var within, between float64
	const n = 200
	for range n {
		deployment := 0.0
		s := alikeSeries(Calibration, CalibrationDeployments*CalibrationWindows, func(i int) float64 {
			if i%CalibrationWindows == 0 {
				deployment = .01 * r.NormFloat64()
			}
			return deployment + .004*r.NormFloat64()
		})
		for i := range s.Blocks {
			s.Blocks[i].Quad, s.Blocks[i].Place = i/CalibrationWindows, i%CalibrationWindows
			s.Blocks[i].Seconds = 10
			if i%CalibrationWindows == 0 {
				s.Blocks[i].Seconds = 14
			}
		}
		x := s.Spread()
		if x == nil || x.Deployments != CalibrationDeployments || math.Abs(x.Overhead-4) > 1e-9 || math.Abs(x.Mean-30) > 1 {
			t.Fatalf("%+v", x)
		}
		within, between = within+x.Within*x.Within/n, between+x.Between*x.Between/n
		s.Blocks[3].Invalid, s.Blocks[3].Values = "the clock was set", nil
		if x = s.Spread(); x.Deployments != CalibrationDeployments-1 || math.Abs(x.Mean-30) > 1 {
			t.Fatalf("with an invalid window: %+v", x)
		}
	}
	if math.Abs(math.Sqrt(within)-.004) > .0004 || math.Abs(math.Sqrt(between)-.01) > .001 {
		t.Errorf("within %.4f, between %.4f, want .004 and .01", math.Sqrt(within), math.Sqrt(between))
	}
	x := Spread{WindowS: 10, Overhead: 4, Within: .004, Between: .01}
	if got := x.BestWindow(); math.Abs(got-10*math.Sqrt(.4*.16)) > 1e-9 {
		t.Errorf("best window %g", got)
	}
}

// Identical code does not fail under other labels.
func TestRelabelledGates(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c, blocks := alikeSeries(Alike, 80, func(int) float64 { return .005 * r.NormFloat64() }).Relabelled(299)
	if c.Gates != 299 || c.Failed > 3 || blocks != 80 || c.Failed == 0 && math.Abs(c.Bound-.00997) > 1e-4 {
		t.Errorf("%+v of %d blocks", c, blocks)
	}
	if c, _ := alikeSeries(Alike, 8, func(int) float64 { return 0 }).Relabelled(299); c.Gates != 0 {
		t.Errorf("%d gates of two quads, which cannot fail", c.Gates)
	}
	// They can fail: in a stream whose sides by the coins of the first relabelled gate do differ, that gate fails.
	s := alikeSeries(Alike, 24, func(int) float64 { return .001 * r.NormFloat64() })
	for i := range s.Blocks {
		if Order(s.Sessions[0].Seed, i/4)[i%4] == Head {
			s.Blocks[i].Values[0] *= .9
		}
	}
	if c, _ := s.Relabelled(1); c.Failed != 1 {
		t.Errorf("a gate whose coins agree with a loss of 10 %% does not fail: %+v", c)
	}
}

// A gain is told from none by the same limits as a loss, and is what the anchor moves to; a loss moves it only when it was accepted.
func TestGainsAndTheAnchor(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var s Series
	add := func(n int, change float64) Session {
		session := Session{ID: fmt.Sprint("s", n), At: time.Unix(int64(1000*n), 0), Sequence: fmt.Sprint("q", n), Kind: Compare, Seed: uint64(n),
			Head: Subject{Commit: fmt.Sprint("c", n)}, Design: Design{Rule: DefaultRule(), Metrics: []Metric{{Name: "hash_rate(w)"}}}}
		s.Sessions = append(s.Sessions, session)
		var blocks []Block
		for range 16 {
			b := Next(session.Seed, session.ID, blocks)
			b.Values = []float64{30 * math.Exp(.002*r.NormFloat64())}
			if b.Side == Head {
				b.Values[0] *= 1 + change
			}
			blocks = append(blocks, b)
		}
		s.Blocks = append(s.Blocks, blocks...)
		return session
	}
	for n, c := range []struct {
		change float64
		gain   Gain
		anchor string
	}{{0, NoGain, ""}, {.05, Faster, "c1"}, {-.05, NoGain, "c1"}, {.02, Faster, "c3"}, {0, NoGain, "c3"}} {
		session := add(n, c.change)
		if v := s.Judge(session); v.Gain != c.gain {
			t.Errorf("%+.0f %%: %q, want %q: %s", 100*c.change, v.Gain, c.gain, v.Metrics[0].Text())
		}
		if got, _ := s.Anchor(); got != c.anchor {
			t.Errorf("after gate %d the anchor is %q, want %q", n, got, c.anchor)
		}
	}
	s.Accepted = append(s.Accepted, Accepted{Sequence: "q2", At: time.Unix(9000, 0)})
	if got, _ := s.Anchor(); got != "c2" {
		t.Errorf("after a loss was accepted the anchor is %q", got)
	}
}
