package loadgen

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
)

func TestParseSLO(t *testing.T) {
	slo, err := ParseSLO("p99<200ms, errors<0.1%,mean < 1s,max<2s,p99.9<3s,errors<0.5")
	if err != nil {
		t.Fatal(err)
	}
	if slo[0].Quantile != 0.99 || slo[0].Time != 200*time.Millisecond || math.Abs(slo[1].Ratio-0.001) > 1e-12 || math.Abs(slo[4].Quantile-0.999) > 1e-12 || slo[5].Ratio != 0.5 {
		t.Errorf("%+v", slo)
	}
	for _, text := range []string{"", "p99", "p99<", "p99>200ms", "p100<1s", "p0<1s", "px<1s", "p99<200", "p99<-1s", "errors<0", "errors<101%", "errors<x", "rate<5", "p99<1s,"} {
		if _, err := ParseSLO(text); err == nil || !strings.Contains(err.Error(), "p99<200ms,errors<0.1%") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestSLOJudge(t *testing.T) {
	h := history.NewHistogram()
	for i := range int64(100) {
		_ = h.RecordValue((i + 1) * int64(time.Millisecond))
	}
	total := history.Interval{Due: 101, OK: 100, Response: h}
	for text, want := range map[string]bool{
		"p50<51ms": true, "p50<49ms": false, "max<101ms": true, "max<99ms": false, "mean<51ms": true, "mean<50ms": false,
		"errors<1%": true, "errors<0.9%": false, "p99<1s,errors<0.9%": false,
	} {
		slo, err := ParseSLO(text)
		if err != nil {
			t.Fatal(err)
		}
		if met, why := slo.Judge(total); met != want || met != (why == "") {
			t.Errorf("%s: %v (%s), want %v", text, met, why, want)
		}
	}
	slo, _ := ParseSLO("p99<1s")
	if met, _ := slo.Judge(history.Interval{}); met {
		t.Error("no request at all met an objective")
	}
	if met, _ := slo.Judge(history.Interval{Due: 5, Response: history.NewHistogram()}); met {
		t.Error("failures alone met an objective")
	}
}

// Against a server that meets the objectives up to a capacity, the bracket holds the capacity and is as narrow as asked,
// after a bounded number of blocks.
func TestSeekerFindsTheCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := math.Exp(rapid.Float64Range(0, 13).Draw(t, "ln capacity"))
		cfg := SearchConfig{Precision: rapid.Float64Range(0.005, 0.2).Draw(t, "precision"), Confidence: rapid.Float64Range(0.5, 0.99).Draw(t, "confidence"),
			Whole: rapid.Bool().Draw(t, "whole")}
		s, err := newSeeker(cfg)
		if err != nil {
			t.Fatal(err)
		}
		blocks := 0
		for level, more := s.next(); more; level, more = s.next() {
			if cfg.Whole && level != math.Trunc(level) {
				t.Fatalf("level %v is not whole", level)
			}
			s.observe(level <= capacity)
			if blocks++; blocks > 1000 {
				t.Fatal("no end")
			}
		}
		if s.good > capacity || s.bad <= capacity {
			t.Errorf("capacity %v, bracket %v to %v", capacity, s.good, s.bad)
		}
		if s.bad > s.good*(1+cfg.Precision) && !(cfg.Whole && s.bad-s.good == 1) {
			t.Errorf("the bracket %v to %v is wider than %v", s.good, s.bad, cfg.Precision)
		}
	})
}

// Near the edge blocks are a matter of luck: here a level meets the objectives with a chance that falls from 1 to 0 within
// 10 % around the capacity, and one block in 20 lies.
func TestSeekerBearsNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	off := 0
	for range 500 {
		s, err := newSeeker(SearchConfig{Precision: 0.02, Confidence: 0.95})
		if err != nil {
			t.Fatal(err)
		}
		for level, more := s.next(); more; level, more = s.next() {
			chance := min(max((1.05-level/1000)/0.1, 0.05), 0.95)
			s.observe(rng.Float64() < chance)
		}
		if math.Abs(s.good/1000-1) > 0.05 {
			off++
		}
	}
	if off > 50 {
		t.Errorf("%d of 500 searches were off by more than 5 %%", off)
	}
}

func TestSearchConfigErrors(t *testing.T) {
	for _, cfg := range []SearchConfig{{Least: -1}, {Least: 5, Most: 4}, {Precision: 2}, {Confidence: 1}, {Confidence: 0.2}} {
		if _, err := newSeeker(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// rngs is the app's rng in virtual time: replicas that serve one request of 100 ms at a time, behind an address that
// gives connections to them in turn.
func rngs(replicas int) Player {
	var n atomic.Int64
	queues := make([]chan struct{}, replicas)
	for i := range queues {
		queues[i] = make(chan struct{}, 1)
	}
	p := virtual(nil)
	p.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		queue := queues[int(n.Add(1)-1)%replicas]
		return virtual(func(w io.Writer, _ *http.Request) bool {
			queue <- struct{}{}
			time.Sleep(100 * time.Millisecond)
			<-queue
			_, err := io.WriteString(w, hello)
			return err == nil
		}).Dial(ctx, network, address)
	}
	return p
}

func TestSearchRateFindsThreeReplicasOfRng(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer leave()
		slo, err := ParseSLO("p99<200ms,errors<0.1%")
		if err != nil {
			t.Fatal(err)
		}
		blocks := 0
		begin := func(Workload) (Recorder, func(history.LoadEndRecord) error, error) {
			blocks++
			return &memory{}, func(history.LoadEndRecord) error { return nil }, nil
		}
		w := Workload{Targets: []Target{{URL: "http://127.0.0.1:1/32"}}, Reuse: Reuse{PerRequest: true}}
		r, err := rngs(3).SearchRate(t.Context(), w, SearchConfig{SLO: slo, Least: 8}, time.Now(), begin)
		if err != nil {
			t.Fatal(err)
		}
		if r.Level < 28.5 || r.Level > 31.5 || r.Above < r.Level || r.Above > r.Level*1.02+0.01 || r.Stopped != "" {
			t.Errorf("found %v to %v (%s), want 30/s within 5 %%", r.Level, r.Above, r.Stopped)
		}
		if len(r.Curve) < 5 || blocks < 2*len(r.Curve) {
			t.Errorf("%d points from %d blocks", len(r.Curve), blocks)
		}
		for _, p := range r.Curve {
			if p.Level <= r.Level && (p.Met != p.Blocks || math.Abs(p.Rate/p.Level-1) > 0.2) {
				t.Errorf("at %v: %d of %d blocks met it, %v/s answered", p.Level, p.Met, p.Blocks, p.Rate)
			}
			if p.Level >= r.Above && p.Why == "" {
				t.Errorf("at %v there is no reason", p.Level)
			}
		}
	})
}

func TestSearchClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer leave()
		slo, _ := ParseSLO("p99<450ms") // one rng: n clients wait n * 100 ms
		w := Workload{Targets: []Target{{URL: "http://127.0.0.1:1/32"}}}
		r, err := rngs(1).SearchRate(t.Context(), w, SearchConfig{SLO: slo, Whole: true, Block: 2 * time.Second}, time.Now(), nil)
		if err != nil || r.Level != 4 || r.Above != 5 {
			t.Errorf("%v: %+v, want 4 clients", err, r)
		}
		for _, p := range r.Curve { // one rng makes 10/s, however short the blocks and many the clients
			if math.Abs(p.Rate-10) > 0.1 {
				t.Errorf("%v clients: %v/s, want 10", p.Level, p.Rate)
			}
		}
	})
}

func TestSearchSaysWhyItStops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String() + "/"
	l.Close()
	slo, _ := ParseSLO("p99<200ms")
	_, err = Player{}.SearchRate(t.Context(), Workload{Targets: []Target{{URL: nobody}}}, SearchConfig{SLO: slo}, time.Now(), nil)
	if !errors.Is(err, ErrNothingAnswers) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v, want that nothing answers", err)
	}
	good := Block{Met: true, Total: history.Interval{Due: 1, OK: 1, Response: history.NewHistogram()}, Elapsed: time.Second}
	bad := good
	bad.Met, bad.Why = false, "slow"
	late := good
	late.End.Invalid = []string{"lag"}
	for _, c := range []struct {
		name  string
		play  func(level float64) Block
		level float64
		want  string
	}{
		{"always", func(float64) Block { return good }, 1000, "still met at 1000"},
		{"never", func(float64) Block { return bad }, 0, "not met even at 1"},
		{"generator", func(l float64) Block {
			if l > 100 {
				return late
			}
			return good
		}, 64, "the generator could not deliver 128, 5 times in a row: lag"},
	} {
		r, err := Search(t.Context(), SearchConfig{Most: 1000}, func(_ context.Context, l float64) (Block, error) { return c.play(l), nil })
		if err != nil || r.Level != c.level || !strings.Contains(r.Stopped, c.want) {
			t.Errorf("%s: %v, %+v, want %v and %q", c.name, err, r, c.level, c.want)
		}
	}
	n := 0
	again, err := Search(t.Context(), SearchConfig{Most: 1000}, func(context.Context, float64) (Block, error) {
		if n++; n%mostInvalid != 0 { // a busy machine: most blocks are invalid, never that many in a row
			return late, nil
		}
		return good, nil
	})
	if err != nil || again.Level != 1000 || again.Repeated != n/mostInvalid*(mostInvalid-1) {
		t.Errorf("invalid blocks: %v, %+v after %d blocks", err, again, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Search(ctx, SearchConfig{}, func(_ context.Context, l float64) (Block, error) {
		if l >= 8 {
			cancel()
		}
		return good, nil
	})
	if err != nil || r.Level != 4 || r.Stopped != "the search was interrupted" {
		t.Errorf("interrupted: %v, %+v", err, r)
	}
}

// The bounds of a search are the objectives of a run, in its own words.
func TestSLOAsObjectives(t *testing.T) {
	slo, err := ParseSLO("p99.9 < 200ms, errors<0.07%,mean<1s,errors<0.5")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(slo.Objectives("bench"), "; ")
	if want := "p99.9(bench) < 200ms ±0; failure_ratio(bench) < 0.07% ±0; mean(bench) < 1s ±0; failure_ratio(bench) < 0.5 ±0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
