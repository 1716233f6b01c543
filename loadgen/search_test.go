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

	"coinbench/history"
	"coinbench/internal/race"
)

func TestParseSLO(t *testing.T) {
	slo, err := ParseSLO("p99<200ms, errors<0.1%,mean < 1s,max<2s,p99.9<3s,errors<0.5")
	if err != nil {
		t.Fatal(err)
	}
	if slo[0].Quantile != 0.99 || slo[0].Time != 200*time.Millisecond || math.Abs(slo[1].Ratio-0.001) > 1e-12 ||
		math.Abs(slo[4].Quantile-0.999) > 1e-12 || slo[5].Ratio != 0.5 {
		t.Errorf("%+v", slo)
	}
	for _, text := range []string{"", "p99", "p99<", "p99>200ms", "p100<1s", "p0<1s", "px<1s", "p99<200", "p99<-1s", "errors<0", "errors<101%",
		"errors<x", "rate<5", "p99<1s,"} {
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
		"p50<52ms": true, "p50<50ms": false, "max<101ms": false, "p99<99.5ms": false, "p99<101ms": true, "mean<51ms": false, // one failed
		"max<101ms,errors<1": true, "max<99ms,errors<1": false, "mean<51ms,errors<1": true, "mean<50ms,errors<1": false,
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

// queue is a service of one replica in virtual time whose requests wait for each other, under a load of a level.
type queue struct {
	service     float64 // seconds, the mean
	exponential bool
	errors      float64 // share that fails at once
	shed        float64 // requests a second beyond which all fail at once; 0: none do
	random      *rand.Rand
}

func (q queue) play(_ context.Context, level float64, length time.Duration) (Block, error) {
	b := Block{Level: level, Elapsed: length, Intervals: make([]history.Interval, int(math.Ceil(length.Seconds())))}
	for i := range b.Intervals {
		b.Intervals[i] = history.Interval{At: time.Duration(i) * time.Second, Length: time.Second, Response: history.NewHistogram()}
	}
	at, free := 0.0, 0.0
	for n := 0; ; n++ {
		if at += 1 / level; q.exponential {
			at += (q.random.ExpFloat64() - 1) / level
		}
		if at >= length.Seconds() {
			break
		}
		s, done := q.service, at
		if q.exponential {
			s *= q.random.ExpFloat64()
		}
		failed := q.random.Float64() < q.errors || q.shed > 0 && math.Mod(float64(n), level) >= q.shed
		if !failed {
			free = max(free, at) + s
			done = free
		}
		i := &b.Intervals[min(int(done), len(b.Intervals)-1)]
		i.Due++
		if failed {
			continue
		}
		i.OK++
		_ = i.Response.RecordValue(int64((done - at) * 1e9))
	}
	for _, i := range b.Intervals {
		b.Total.Merge(i)
	}
	slo, _ := ParseSLO("p99<1h")
	b.Met, b.Why = slo.Judge(b.Total)
	return b, nil
}

// Levels that are known to meet the objectives or not. What is answered must be right with the confidence that is stated; a level that
// violates its objective by a tenth or more is answered in at most one of twenty.
func TestSearchKeepsItsConfidence(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	for _, c := range []struct {
		name    string
		q       queue
		slo     string
		edge    float64 // the greatest level that meets it; 0: none does
		violate float64 // the least that violates it by a tenth
		whole   bool
	}{
		// Of M/M/1 the response time is exponential with the rate mu - lambda: p99 < 100 ms up to 100 - ln(100)/.1.
		{"M/M/1", queue{service: .01, exponential: true}, "p99<100ms", 53.95, 58.14, false},
		{"M/M/1, its mean", queue{service: .01, exponential: true}, "mean<40ms", 75, 77.3, false},
		{"at no rate", queue{service: .1, exponential: true}, "p99<400ms", 0, 1e-9, false},
		{"D/D/1", queue{service: .01}, "p99<200ms", 100, 100.1, false},
		{"served is offered", queue{service: .01, exponential: true}, "errors<1%", 100, 110, false},
		{"errors at any rate", queue{service: .001, errors: .003}, "errors<0.1%", 0, 1e-9, false},
		{"failing fast", queue{service: .001, shed: 20}, "p99<200ms", 20.2, 20.21, false},
		{"failing fast, allowed", queue{service: .001, shed: 20}, "p99<200ms,errors<60%", 50, 58, false},
	} {
		const tries = 12
		wrong, violated, none := 0, 0, 0
		for seed := range uint64(tries) {
			q := c.q
			q.random = rand.New(rand.NewPCG(seed, 5))
			slo, err := ParseSLO(c.slo)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Search(t.Context(), SearchConfig{SLO: slo, Most: 500, Precision: .05}, func(ctx context.Context, level float64,
				length time.Duration) (Block, error) {
				b, err := q.play(ctx, level, length)
				b.Met, b.Why = slo.Judge(b.Total)
				return b, err
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Level > c.edge*1.0001 || r.Above > 0 && r.Above < c.edge*.9999 {
				wrong++
			}
			if r.Level >= c.violate {
				violated++
			}
			if r.Level == 0 {
				none++
			}
			if seed == 0 {
				t.Logf("%s: %v to %v after %d levels: %s", c.name, r.Level, r.Above, r.Tested, r.Stopped)
			}
		}
		if wrong > 3 || violated > 1 || c.edge > 0 && none > 1 || c.edge == 0 && none < tries-1 {
			t.Errorf("%s: %d of %d wrong, %d violate it, %d found none", c.name, wrong, tries, violated, none)
		}
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
		begin := func(Workload) (Recorder, func(history.LoadEndRecord, error) error, error) {
			blocks++
			return &memory{}, func(history.LoadEndRecord, error) error { return nil }, nil
		}
		w := Workload{Targets: []Target{{URL: "http://127.0.0.1:1/32"}}, Reuse: Reuse{PerRequest: true}}
		r, err := rngs(3).SearchRate(t.Context(), w, SearchConfig{SLO: slo, Least: 8}, time.Now(), begin)
		if err != nil {
			t.Fatal(err)
		}
		if r.Level < 28.5 || r.Level > 31.5 || r.Above < r.Level || r.Above > r.Level*1.02+0.01 || r.Stopped != "" {
			t.Errorf("found %v to %v (%s), want 30/s within 5 %%", r.Level, r.Above, r.Stopped)
		}
		if len(r.Curve) < 5 || blocks <= len(r.Curve) {
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
	quick := history.Interval{Length: time.Second, Due: 100, OK: 100, Response: history.NewHistogram()}
	_ = quick.Response.RecordValues(int64(time.Millisecond), 100)
	slow := history.Interval{Length: time.Second, Due: 100, OK: 100, Response: history.NewHistogram()}
	_ = slow.Response.RecordValues(int64(time.Second), 100)
	good := Block{Met: true, Total: quick, Elapsed: time.Second}
	bad := Block{Why: "slow", Total: slow, Elapsed: time.Second}
	for i := range 10 {
		quick.At, slow.At = time.Duration(i)*time.Second, time.Duration(i)*time.Second
		good.Intervals, bad.Intervals = append(good.Intervals, quick), append(bad.Intervals, slow)
	}
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
		r, err := Search(t.Context(), SearchConfig{SLO: slo, Most: 1000}, func(_ context.Context, l float64, _ time.Duration) (Block,
			error) {
			return c.play(l), nil
		})
		if err != nil || r.Level != c.level || !strings.Contains(r.Stopped, c.want) {
			t.Errorf("%s: %v, %+v, want %v and %q", c.name, err, r, c.level, c.want)
		}
	}
	n := 0
	again, err := Search(t.Context(), SearchConfig{SLO: slo, Most: 1000}, func(context.Context, float64, time.Duration) (Block, error) {
		if n++; n%mostInvalid != 0 { // a busy machine: most blocks are invalid, never that many in a row
			return late, nil
		}
		return good, nil
	})
	if err != nil || again.Level != 1000 || again.Repeated != n/mostInvalid*(mostInvalid-1) {
		t.Errorf("invalid blocks: %v, %+v after %d blocks", err, again, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Search(ctx, SearchConfig{SLO: slo}, func(_ context.Context, l float64, _ time.Duration) (Block, error) {
		if l >= 8 {
			cancel()
		}
		return good, nil
	})
	if err != nil || r.Level != 0 || len(r.Curve) != 3 || r.Stopped != "the search was interrupted" {
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
