package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/memory"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
)

// witness is the cluster in memory. It writes down what it is asked to do, and fails where a test wants it to.
type witness struct {
	*memory.Cluster
	start time.Time

	mu    sync.Mutex
	calls []string
	fail  map[string]error // by call, such as "Scale worker"
}

var errPanics = errors.New("panics")

func newWitness(sink cluster.Sink) *witness {
	return &witness{Cluster: memory.New(sink), start: time.Now(), fail: map[string]error{}}
}

// wrong is what a test wants to go wrong with a call.
func (w *witness) wrong(call string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail[call] == errPanics {
		panic(call)
	}
	return w.fail[call]
}

// act does what it is asked to, and adds its operands to the call.
func (w *witness) act(call string, do func() error, operands ...string) error {
	w.mu.Lock()
	w.calls = append(w.calls, strings.Join(append([]string{call}, operands...), " "))
	w.mu.Unlock()
	if err := w.wrong(call); err != nil {
		return err
	}
	return do()
}

func (w *witness) removed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(w.calls), func(call string) bool { return call != "Remove" }))
}

func (w *witness) Check(app cluster.App) error {
	if err := w.wrong("Check"); err != nil {
		return err
	}
	return w.Cluster.Check(app)
}

func (w *witness) Deploy(ctx context.Context, app cluster.App) error {
	return w.act("Deploy", func() error { return w.Cluster.Deploy(ctx, app) })
}

func (w *witness) Scale(ctx context.Context, service string, replicas int) error {
	return w.act("Scale "+service, func() error { return w.Cluster.Scale(ctx, service, replicas) })
}

func (w *witness) Update(ctx context.Context, service string, c cluster.Change) error {
	what := fmt.Sprintf("env=%v image=%s balance=%s strategy=%s slots=%v", c.Environment, c.Image, c.Balance, c.Strategy, c.Slots)
	if c.Rollout != nil {
		what += fmt.Sprintf(" rollout=%+v", *c.Rollout)
	}
	return w.act("Update "+service, func() error { return w.Cluster.Update(ctx, service, c) }, what)
}

func (w *witness) Rollback(ctx context.Context, service string) error {
	return w.act("Rollback "+service, func() error { return w.Cluster.Rollback(ctx, service) })
}

func (w *witness) Restart(ctx context.Context, service string) error {
	return w.act("Restart "+service, func() error { return w.Cluster.Restart(ctx, service) })
}

func (w *witness) Address(ctx context.Context, service string) (string, error) {
	if err := w.wrong("Address " + service); err != nil {
		return "", err
	}
	return w.Cluster.Address(ctx, service)
}

func (w *witness) Counters(ctx context.Context) ([]history.Reading, error) {
	if err := w.wrong("Counters"); err != nil {
		return nil, err
	}
	return w.Cluster.Counters(ctx)
}

func (w *witness) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	return w.act(fmt.Sprintf("Kill %s.%d %+v", service, slot, fault), func() error { return w.Cluster.Kill(ctx, service, slot, fault) })
}

func (w *witness) Pause(ctx context.Context, service string, slot int, d time.Duration) error {
	return w.act(fmt.Sprintf("Pause %s.%d %s", service, slot, d), func() error { return w.Cluster.Pause(ctx, service, slot, d) })
}

func (w *witness) Slow(ctx context.Context, service string, slot int, delay, d time.Duration) error {
	return w.act(fmt.Sprintf("Slow %s.%d %s %s", service, slot, delay, d), func() error {
		return w.Cluster.Slow(ctx, service, slot, delay,
			d)
	})
}

func (w *witness) Remove(ctx context.Context) error {
	return w.act("Remove", func() error { return w.Cluster.Remove(ctx) })
}

// The cluster in memory has one node, so of what is done to nodes it only writes down that it was asked to.

func nothing() error { return nil }

func (w *witness) Drain(_ context.Context, node string) error { return w.act("Drain "+node, nothing) }
func (w *witness) Activate(_ context.Context, node string) error {
	return w.act("Activate "+node, nothing)
}
func (w *witness) Partitions() error { return nil }
func (w *witness) Partition(_ context.Context, node string, d time.Duration) error {
	return w.act(fmt.Sprintf("Partition %s %s", node, d), nothing)
}
func (w *witness) Lost() error { return w.wrong("Lost") }

// dockercoins is the app that tests play.
func dockercoins(string) (cluster.App, error) {
	app := cluster.App{Name: "dockercoins", Source: []byte("services: {}\n")}
	settings := cluster.Rollout{Parallelism: 1, Monitor: 5 * time.Second, Order: "stop-first", FailureAction: "pause"}
	for _, name := range []string{"redis", "hasher", "rng", "webui", "worker"} {
		image := "coinbench/" + name + ":v0.1"
		if name == "redis" {
			image = "redis:7"
		}
		app.Services = append(app.Services, cluster.Service{Name: name, Image: image, Replicas: 1, Environment: map[string]string{},
			Balance: cluster.RoundRobin, Update: settings, Rollback: settings})
	}
	return app, nil
}

// instant is a load generator whose requests take no time on the wire and answer after 100 ms.
func instant(played *[]loadgen.Workload) func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord,
	error) {
	var mu sync.Mutex
	return func(ctx context.Context, w loadgen.Workload, origin time.Time, _ loadgen.Recorder) (history.LoadEndRecord, error) {
		mu.Lock()
		*played = append(*played, w)
		mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
		return history.LoadEndRecord{End: time.Since(origin), Due: w.Requests, OK: w.Requests}, nil
	}
}

// performance is what one run of a scenario left.
type performance struct {
	cluster  *witness
	run      *history.Run
	err      error
	progress []Progress
	loads    []loadgen.Workload
	took     time.Duration
}

// perform plays a scenario in memory. It must be called within a bubble of synctest.
func perform(t *testing.T, ctx context.Context, yaml string, change func(*witness)) performance {
	t.Helper()
	s, err := Parse("test.yaml", []byte(yaml), Options{App: dockercoins})
	if err != nil {
		t.Fatalf("parse:\n%v", err)
	}
	var sink Sink
	p := performance{cluster: newWitness(sink.Event)}
	if change != nil {
		change(p.cluster)
	}
	dir := t.TempDir()
	w, err := history.Create(dir, history.Manifest{Scenario: s.Name, Start: p.cluster.start}, s.Source, s.App.Source)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Cluster: p.cluster, Sink: &sink, Writer: w, Start: p.cluster.start,
		Progress: func(pr Progress) { p.progress = append(p.progress, pr) }, Play: instant(&p.loads)}
	if err := Check(s, cfg.Cluster); err != nil {
		t.Fatalf("check: %v", err)
	}
	begun := time.Now()
	p.err = Run(ctx, s, cfg)
	p.took = time.Since(begun)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if p.run, err = history.Open(dir); err != nil {
		t.Fatal(err)
	}
	return p
}

// log writes the events one a line: time, step, kind, service and detail in order.
func (p performance) log() string {
	var b strings.Builder
	for _, e := range p.run.Events {
		fmt.Fprintf(&b, "%8.3fs %d %s", e.At.Seconds(), e.Step, e.Payload.Kind())
		if of := cmp.Or(e.Task, e.Service); of != "" {
			b.WriteString(" " + of)
		}
		for _, k := range sortedKeys(e.Detail()) {
			fmt.Fprintf(&b, " %s=%q", k, e.Detail()[k])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// hashes returns the hashes between the two readings at the edges of a window, and the time between them.
func (p performance) hashes(name string) (n float64, length time.Duration) {
	var begin, end time.Duration = -1, -1
	for _, e := range p.run.Events {
		if e.Detail()["name"] == name && e.Is(event.WindowBegin{}) {
			begin = e.At
		}
		if e.Detail()["name"] == name && e.Is(event.WindowEnd{}) {
			end = e.At
		}
	}
	first, last := map[string]float64{}, map[string]float64{} // by worker
	for _, r := range p.run.Readings {
		if _, counted := r.Values.Get(history.Hashes); !counted {
			continue
		}
		if r.At == begin {
			first[r.Task] = r.Values.Of(history.Hashes)
		}
		if r.At == end {
			last[r.Task] = r.Values.Of(history.Hashes)
		}
	}
	for task, counted := range first { // what comes at the end is not of the window
		n += last[task] - counted
	}
	if len(first) == 0 || len(last) < len(first) {
		return -1, 0
	}
	return n, end - begin
}
