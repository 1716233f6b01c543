package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/history"
	"coinbench/history/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shipped(t testing.TB) cluster.App { return clustertest.Shipped(t) }

// bridged gives every simulated service a real address, where each request is one request of the simulation.
type bridged struct {
	*Cluster
	t       *testing.T
	bridges map[string]*httptest.Server
}

type last struct{ sample history.Sample }

func (l *last) Interval(history.Interval) error { return nil }
func (l *last) Sample(s history.Sample) error   { l.sample = s; return nil }

func (b *bridged) Address(ctx context.Context, service string) (string, error) {
	if _, err := b.Cluster.Address(ctx, service); err != nil {
		return "", err
	}
	if b.bridges[service] == nil {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l := &last{}
			_, err := b.Play(r.Context(), des.Load{Name: "ask", Targets: []des.Target{{Service: service, Root: true}}, Clients: 1, Requests: 1,
				PerRequest: true, MaxSamples: 1, Recorder: l})
			if err != nil || l.sample.Status == 0 {
				panic(http.ErrAbortHandler) // the connection is reset
			}
			w.Header().Set("X-Coinbench-Replica", l.sample.Replica)
			w.Header().Set("X-Coinbench-Version", l.sample.Version)
			w.WriteHeader(l.sample.Status)
		}))
		b.bridges[service] = server
		b.t.Cleanup(server.Close)
	}
	return b.bridges[service].Listener.(*net.TCPListener).Addr().String(), nil
}

// The suite's goroutines are participants. One that asks gives its turn to the bridge's handler until that has answered.
func TestConformance(t *testing.T) {
	clustertest.Run(t, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) {
		c := &bridged{New(Config{Seed: 1, Sink: sink}), t, map[string]*httptest.Server{}}
		// A worker's calls would take turns that the suite counts.
		app, err := shipped(t).With("worker", nil, cluster.Change{Environment: map[string]string{"COIN_THINK": "1h"}})
		if err != nil {
			t.Fatal(err)
		}
		return c, app
	})
}

// play is a small run with a poller next to it.
func play(t *testing.T, seed uint64) (events []history.Event, readings []history.Reading, c *Cluster) {
	t.Helper()
	var at func() time.Duration
	c = New(Config{Seed: seed, Sink: func(e history.Event) { e.At = at(); events = append(events, e) }})
	begin := c.Now()
	at = func() time.Duration { return c.Now().Sub(begin) }
	ctx, stop := context.WithCancel(t.Context())
	wait := c.Go(func() {
		for c.Sleep(ctx, time.Second) == nil {
			r, err := c.Counters(ctx)
			if err != nil {
				t.Error(err)
			}
			readings = append(readings, r...)
		}
	})
	workers, rng := 10, 5
	app, err := shipped(t).With("worker", &workers, cluster.Change{})
	if err != nil {
		t.Fatal(err)
	}
	if app, err = app.With("rng", &rng, cluster.Change{Balance: cluster.Random}); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Deploy(ctx, app))
	must(c.Sleep(ctx, 30*time.Second))
	must(c.Scale(ctx, "worker", 7))
	must(c.Kill(ctx, "rng", 2, cluster.Fault{Down: 2 * time.Second, InRotation: true}))
	must(c.Update(ctx, "worker", cluster.Change{Image: "coinbench/worker:v0.01"}))
	must(c.Sleep(ctx, 30*time.Second))
	must(c.Remove(ctx))
	stop()
	wait()
	return events, readings, c
}

func TestRunsRepeat(t *testing.T) {
	events, readings, _ := play(t, 1)
	again, readAgain, _ := play(t, 1)
	if !reflect.DeepEqual(events, again) || !reflect.DeepEqual(readings, readAgain) {
		t.Error("two runs with one seed differ")
	}
	_, other, _ := play(t, 2)
	if reflect.DeepEqual(readings, other) {
		t.Error("runs with different seeds are the same")
	}
	last := time.Duration(0)
	for _, e := range events {
		if e.At < last {
			t.Fatalf("%v came after %v", e, last)
		}
		last = e.At
	}
	seen := map[time.Duration]bool{}
	for _, r := range readings {
		seen[r.At] = true
	}
	if len(seen) < int(last/time.Second)-2 {
		t.Errorf("%d readings in %v: the poller missed some", len(seen), last)
	}
}

// Article A0: 10 workers, parallelism 2, delay 5 s. About 36 s with workers that obey SIGTERM, about 85 s with those that do not.
func TestUpdateDurations(t *testing.T) {
	for behaviour, want := range map[string]time.Duration{"exit": 36 * time.Second, "ignore": 85 * time.Second} {
		c := New(Config{Costs: Costs{TaskStart: 200 * time.Millisecond}})
		workers := 10
		app, err := shipped(t).With("worker", &workers, cluster.Change{Environment: map[string]string{"COIN_ON_SIGTERM": behaviour}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Deploy(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		begin := c.Now()
		if err := c.Update(t.Context(), "worker", cluster.Change{Image: "coinbench/worker:v0.01"}); err != nil {
			t.Fatal(err)
		}
		if got := c.Now().Sub(begin); got < want-2*time.Second || got > want+3*time.Second {
			t.Errorf("%s: the update took %v, want about %v", behaviour, got, want)
		}
	}
}

func TestPlay(t *testing.T) {
	c := New(Config{})
	rng, workers := 5, 0
	app, err := shipped(t).With("rng", &rng, cluster.Change{})
	if err != nil {
		t.Fatal(err)
	}
	if app, err = app.With("worker", &workers, cluster.Change{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Deploy(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	address, err := c.Address(t.Context(), "rng")
	if err != nil {
		t.Fatal(err)
	}
	name, err := c.Service(address)
	if err != nil || name != "rng" {
		t.Fatalf("%s means %q, %v", address, name, err)
	}
	before := c.Now()
	end, err := c.Play(t.Context(), des.Load{Targets: []des.Target{{Service: name}}, Clients: 50, Requests: 50, PerRequest: true})
	if err != nil || end.OK != 50 {
		t.Fatalf("%+v, %v", end, err)
	}
	if took := c.Now().Sub(before); took != time.Second {
		t.Errorf("50 requests of 0.1 s on 5 replicas took %v, want 1s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wait := c.Go(func() {
		_ = c.Sleep(t.Context(), time.Minute)
		cancel()
	})
	defer wait()
	if end, err := c.Play(ctx, des.Load{Targets: []des.Target{{Service: name}}, Clients: 2, Duration: time.Hour}); err != nil ||
		end.InFlight != 2 || end.OK != 1200 {
		t.Errorf("cut short: %+v, %v", end, err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestParticipantsTakeTurns(t *testing.T) {
	c := New(Config{})
	var order []string
	note := func(who string) {
		order = append(order, fmt.Sprintf("%s %v", who, c.Now().Sub(c.start)))
	}
	waitA := c.Go(func() {
		for range 3 {
			note("a")
			_ = c.Sleep(context.Background(), 2*time.Second)
		}
	})
	waitB := c.Go(func() {
		for range 2 {
			note("b")
			_ = c.Sleep(context.Background(), 3*time.Second)
		}
	})
	_ = c.Sleep(context.Background(), time.Second)
	note("main")
	waitA()
	waitB()
	note("end")
	if got, want := strings.Join(order, ", "), "a 0s, b 0s, main 1s, a 2s, b 3s, a 4s, end 6s"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCheckNamesTheFault(t *testing.T) {
	app := shipped(t)
	for i := range app.Services {
		if app.Services[i].Name == "hasher" {
			app.Services[i].Image = "nginx:1"
		}
	}
	err := New(Config{}).Check(app)
	var f *cluster.ComposeError
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "nginx") || f.Line == 0 {
		t.Errorf("%v", err)
	}
}

// An update of ten ends with the failure that is one too many in single precision, as the engine has it, whichever way the ratio was given.
func TestFailureRatio(t *testing.T) {
	for _, row := range []struct {
		ratio     float64
		n, halted int
	}{{0.7, 10, 8}, {0.35, 20, 8}, {0.45, 20, 10}} {
		for way, ratio := range map[string]float64{"a step": row.ratio, "a Compose file": float64(float32(row.ratio))} {
			c := New(Config{})
			none := 0
			app, err := shipped(t).With("rng", &row.n, cluster.Change{})
			if err == nil {
				app, err = app.With("worker", &none, cluster.Change{})
			}
			if err == nil {
				err = c.Deploy(t.Context(), app)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = c.Update(t.Context(), "rng", cluster.Change{Environment: map[string]string{"COIN_ADMIN_LISTEN": ":9999"},
				Rollout: &cluster.Rollout{Parallelism: 1, Order: "stop-first", Monitor: time.Second, FailureAction: "rollback",
					MaxFailureRatio: ratio}})
			want := fmt.Sprintf("%d of %d tasks failed", row.halted, row.n)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), string(event.RolledBack)) {
				t.Errorf("%g of %d by %s: %v; want it rolled back, %s", row.ratio, row.n, way, err, want)
			}
		}
	}
}

// The one node is a manager without labels.
func TestConstraints(t *testing.T) {
	for constraint, want := range map[string]bool{
		"node.role==manager": true, "node.role == Manager": true, "node.role!=worker": true, "node.platform.arch==x86_64": true,
		"node.labels.zone!=b": true,
		"node.role==worker":   false, "node.labels.zone==b": false, "node.hostname==node2": false, "node.role!=manager": false, "zone b": false,
	} {
		app := shipped(t)
		for i := range app.Services {
			if app.Services[i].Name == "rng" {
				app.Services[i].Constraints = []string{constraint}
			}
		}
		err := New(Config{}).Check(app)
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "no node of the simulated cluster") {
			t.Errorf("%s: %v", constraint, err)
		}
	}
}
