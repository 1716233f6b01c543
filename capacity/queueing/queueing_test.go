package queueing

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s = %.8g, want %.8g +- %.2g", what, got, want, tolerance)
	}
}

// Lazowska, Zahorjan, Graham, Sevcik, Quantitative System Performance, 1984, chapter 3. Rows whose page is named are in textbook_test.go.
func TestLazowska1984Chapter3(t *testing.T) {
	// Section 3.2, the utilisation law: a disk that serves 40 requests a second, 0.0225 s each, is 90 % busy.
	u, err := Utilisation(40, .0225, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "disk utilisation", u, .90, 1e-12)
	// Section 3.3, the response time law: 64 users who think for 30 s, 2 interactions a second: the response time is 2 s.
	r, err := ResponseTime(64, 2, 30)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "response time", r, 2, 1e-12)
	n, err := Little(2, r)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "users who wait", n, 4, 1e-12)
}

// Table 6.2 of the same book: demands 0.605, 2.1 and 1.35 s, 15 s of think time.
func TestLazowska1984Table62(t *testing.T) {
	w := Network{ThinkS: 15, Stations: []Station{{"cpu", .605, 1}, {"disk 1", 2.1, 1}, {"disk 2", 1.35, 1}}}
	curve, err := w.MVA(3)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{.0525, .1031, .1515} {
		near(t, "X", curve[i].RatePerS, want, 5e-5)
	}
	// By hand: R(1) = D; R_k(2) = D_k (1 + D_k/19.055).
	near(t, "R(1)", curve[0].ResponseS, 4.055, 1e-12)
	near(t, "R(2)", curve[1].ResponseS, 4.055+(.605*.605+2.1*2.1+1.35*1.35)/19.055, 1e-12)
}

// Kleinrock 1975, sections 3.2, 3.5, 3.8 and 5.6; numbers recomputed by hand from the equations named in the comments.
func TestOpenQueues(t *testing.T) {
	mm1, err := MM1(.5, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "M/M/1 R = S/(1-rho)", mm1.ResponseS, 2, 1e-12)
	near(t, "M/M/1 N = rho/(1-rho)", mm1.Present, 1, 1e-12)
	md1, err := MD1(.5, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "M/D/1 W = half of M/M/1", md1.WaitS, mm1.WaitS/2, 1e-12)
	mm2, err := MMC(1, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	// Two servers at rho = 1/2: p0 = 1/3, C = 1/3, R = S/(1-rho²) = 4/3.
	near(t, "M/M/2 wait probability", mm2.WaitProb, 1./3, 1e-12)
	near(t, "M/M/2 R", mm2.ResponseS, 4./3, 1e-12)
	// Erlang B of 2 servers at 1 erlang: (1/2)/(1+1+1/2) = 1/5.
	b, err := ErlangB(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Erlang B", b, .2, 1e-12)
	// M/M/1/2 at rho = 1: three states, one third each.
	room, err := MMCK(1, 1, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "M/M/1/2 blocking", room.BlockProb, 1./3, 1e-12)
	near(t, "M/M/1/2 present", room.Present, 1, 1e-12)
	loss, err := MMCK(1, 1, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "M/M/c/c is Erlang B", loss.BlockProb, b, 1e-12)
}

func TestUnstableAndSenselessInputsAreErrors(t *testing.T) {
	if _, err := MM1(1, 1); !errors.Is(err, ErrUnstable) {
		t.Errorf("M/M/1 at utilisation 1: %v", err)
	}
	if _, err := MMC(3, 1, 3); !errors.Is(err, ErrUnstable) {
		t.Errorf("M/M/3 at utilisation 1: %v", err)
	}
	for name, f := range map[string]func() error{
		"negative rate":      func() error { _, err := MM1(-1, 1); return err },
		"nan":                func() error { _, err := MG1(math.NaN(), 1, 0); return err },
		"no server":          func() error { _, err := MMC(1, 1, 0); return err },
		"room below servers": func() error { _, err := MMCK(1, 1, 3, 2); return err },
		"impossible think":   func() error { _, err := ResponseTime(1, 1, 5); return err },
		"empty network":      func() error { _, err := Network{}.Solve(1); return err },
		"mva of a pool":      func() error { _, err := Network{Stations: []Station{{"pool", 1, 2}}}.MVA(1); return err },
		"bjb of a pool":      func() error { _, err := Network{Stations: []Station{{"pool", 1, 2}}}.BalancedJob(1); return err },
		"negative clients":   func() error { _, err := Network{ThinkS: 1}.Solve(-1); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// dockerCoins is the app with exponential delays and random routing, as DOCKERCOINS.md 7.2 computed it.
func dockerCoins(rng int) Network {
	return Network{ThinkS: .1, Stations: append(Station{"rng", .1, 1}.Split(rng), Station{"hasher", .1, 20})}
}

func TestExponentialDockerCoins(t *testing.T) {
	sizes := []int{1, 2, 3, 5, 10, 15, 20}
	for rng, want := range map[int][]float64{
		1: {3.3, 6.0, 7.9, 9.6, 10, 10, 10},
		2: {3.3, 6.3, 8.9, 12.8, 17.2, 18.3, 18.8},
		5: {3.3, 6.5, 9.6, 15.1, 26.1, 33.2, 37.5},
	} {
		for i, n := range sizes {
			s, err := dockerCoins(rng).Solve(n)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "X", s.RatePerS, want[i], .051)
		}
	}
}

func network(t *rapid.T, most int) Network {
	w := Network{ThinkS: rapid.Float64Range(0, 5).Draw(t, "think")}
	for i := range rapid.IntRange(1, 4).Draw(t, "stations") {
		w.Stations = append(w.Stations, Station{Name: string(rune('a' + i)),
			DemandS: rapid.Float64Range(.001, 2).Draw(t, "demand"), Servers: rapid.IntRange(0, most).Draw(t, "servers")})
	}
	return w
}

func TestSolveIsMVAWhereBothHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n := network(t, 1), rapid.IntRange(1, 60).Draw(t, "n")
		curve, err := w.MVA(n)
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Solve(n)
		if err != nil {
			t.Fatal(err)
		}
		last := curve[n-1]
		if math.Abs(s.RatePerS/last.RatePerS-1) > 1e-8 || math.Abs(s.ResponseS-last.ResponseS) > 1e-7*(1+last.ResponseS) {
			t.Fatalf("solve %v/s %v s, mva %v/s %v s", s.RatePerS, s.ResponseS, last.RatePerS, last.ResponseS)
		}
	})
}

func TestClosedNetworksObeyTheLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n := network(t, 5), rapid.IntRange(1, 60).Draw(t, "n")
		s, err := w.Solve(n)
		if err != nil {
			t.Fatal(err)
		}
		more, err := w.Solve(n + 1)
		if err != nil {
			t.Fatal(err)
		}
		l, err := w.Asymptotic(n)
		if err != nil {
			t.Fatal(err)
		}
		const e = 1 + 1e-9
		if s.RatePerS > l.UpperPerS*e || s.RatePerS*e < l.LowerPerS {
			t.Fatalf("X = %v outside [%v, %v]", s.RatePerS, l.LowerPerS, l.UpperPerS)
		}
		if s.ResponseS*e < l.BestS || s.ResponseS > l.WorstS*e {
			t.Fatalf("R = %v outside [%v, %v]", s.ResponseS, l.BestS, l.WorstS)
		}
		if more.RatePerS*e < s.RatePerS || more.ResponseS*e < s.ResponseS {
			t.Fatalf("one client more: X %v to %v, R %v to %v", s.RatePerS, more.RatePerS, s.ResponseS, more.ResponseS)
		}
		present := s.RatePerS * w.ThinkS
		for k, r := range s.Residences {
			present += r.Present
			if w.Stations[k].Servers > 0 && r.Utilisation > e {
				t.Fatalf("%s is %v busy", r.Name, r.Utilisation)
			}
		}
		if math.Abs(present-float64(n)) > 1e-6*float64(n) {
			t.Fatalf("%v clients are somewhere, of %d", present, n)
		}
	})
}

func TestBalancedJobBoundsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n := network(t, 1), rapid.IntRange(1, 40).Draw(t, "n")
		curve, err := w.MVA(n)
		if err != nil {
			t.Fatal(err)
		}
		l, err := w.BalancedJob(n)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Asymptotic(n)
		if err != nil {
			t.Fatal(err)
		}
		x, e := curve[n-1].RatePerS, 1+1e-9
		if x > l.UpperPerS*e || x*e < l.LowerPerS || l.UpperPerS > a.UpperPerS*e || l.LowerPerS*e < a.LowerPerS {
			t.Fatalf("X = %v, balanced [%v, %v], asymptotic [%v, %v]", x, l.LowerPerS, l.UpperPerS, a.LowerPerS, a.UpperPerS)
		}
	})
}

// A closed network whose clients think for ever longer becomes an open queue: Poisson arrivals at N/Z.
func TestClosedPoolApproachesMMC(t *testing.T) {
	const n, servers, rate, service = 4000, 5, 4.0, 1.0
	s, err := Network{ThinkS: n / rate, Stations: []Station{{"pool", service, servers}}}.Solve(n)
	if err != nil {
		t.Fatal(err)
	}
	q, err := MMC(s.RatePerS, service, servers)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "response time", s.ResponseS, q.ResponseS, .01*q.ResponseS)
}

// At 200 % offered load and 500 clients the load-dependent recursion loses every digit; the convolution must not.
func TestSolveStaysExactBeyondSaturation(t *testing.T) {
	s, err := Network{ThinkS: 1, Stations: []Station{{"pool", 2, 50}, {"other", .001, 1}}}.Solve(500)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "X", s.RatePerS, 25, 1e-6)
	near(t, "R", s.ResponseS, 500/25.-1, 1e-5)
}

func TestOpenQueuesObeyTheLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.IntRange(1, 40).Draw(t, "servers")
		s := rapid.Float64Range(.01, 10).Draw(t, "service")
		rho := rapid.Float64Range(.01, .97).Draw(t, "utilisation")
		rate := rho * float64(c) / s
		q, err := MMC(rate, s, c)
		if err != nil {
			t.Fatal(err)
		}
		busier, err := MMC(rate*1.01, s, c)
		if err != nil {
			t.Fatal(err)
		}
		one, err := MM1(rate/float64(c), s)
		if err != nil {
			t.Fatal(err)
		}
		if q.ResponseS < s || busier.WaitS < q.WaitS || q.WaitS > one.WaitS*(1+1e-9) {
			t.Fatalf("R %v of S %v, wait %v, busier %v, separate queues %v", q.ResponseS, s, q.WaitS, busier.WaitS, one.WaitS)
		}
		near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*(1+math.Abs(b)) }
		room, err := MMCK(rate, s, c, c+3000)
		if err != nil {
			t.Fatal(err)
		}
		if !near(room.Present, q.Present) || !near(room.WaitProb, q.WaitProb) {
			t.Fatalf("with room for 3000: %+v, without limit: %+v", room, q)
		}
		if !near(q.Present, rate*q.ResponseS) {
			t.Fatalf("Little: %v present, %v arrive for %v", q.Present, rate, q.ResponseS)
		}
	})
}
