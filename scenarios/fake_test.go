package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/loadgen"
)

// fake is a cluster in memory and in whatever time the test runs in. Its hash rate follows the operational bound
// min(N/D, R/S) with D = think + 0.2 s and S = 0.1 s, so a run of it has exact numbers.
type fake struct {
	start time.Time
	sink  cluster.Sink

	mu        sync.Mutex
	app       cluster.App
	hashes    float64
	at        time.Time
	removed   int
	calls     []string
	fail      map[string]error         // by method, such as "Scale worker"
	delay     map[string]time.Duration // by method
	mute      bool                     // tasks do not answer
	unhappy   error                    // of Check
	panicking bool
}

func newFake(sink cluster.Sink) *fake {
	return &fake{start: time.Now(), at: time.Now(), sink: sink, fail: map[string]error{}, delay: map[string]time.Duration{}}
}

func (f *fake) Name() string            { return "fake" }
func (f *fake) Check(cluster.App) error { return f.unhappy }
func (f *fake) Now() time.Time          { return time.Now() }
func (f *fake) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// act is what every changing method does first.
func (f *fake) act(ctx context.Context, call string) error {
	f.mu.Lock()
	f.advance()
	f.calls = append(f.calls, call)
	err, wait := f.fail[call], f.delay[call]
	panicking := f.panicking
	f.mu.Unlock()
	if panicking {
		panic("fake")
	}
	if e := f.Sleep(ctx, wait); e != nil {
		return e
	}
	return err
}

func (f *fake) service(name string) *cluster.Service {
	for i := range f.app.Services {
		if f.app.Services[i].Name == name {
			return &f.app.Services[i]
		}
	}
	return &cluster.Service{}
}

// advance mines since the last call.
func (f *fake) advance() {
	think, _ := time.ParseDuration(f.service("worker").Environment["COIN_THINK"])
	if think == 0 {
		think = 100 * time.Millisecond
	}
	n, r := float64(f.service("worker").Replicas), float64(f.service("rng").Replicas)
	f.hashes += min(n/(think+200*time.Millisecond).Seconds(), 10*r) * time.Since(f.at).Seconds()
	f.at = time.Now()
}

func (f *fake) Deploy(ctx context.Context, app cluster.App) error {
	if err := f.act(ctx, "Deploy"); err != nil {
		return err
	}
	f.mu.Lock()
	f.app = copied(app)
	f.mu.Unlock()
	for _, s := range app.Services {
		f.sink(history.Event{Kind: history.ServiceDeployed, Service: s.Name, Detail: map[string]string{"replicas": fmt.Sprint(s.Replicas)}})
	}
	return nil
}

func (f *fake) Scale(ctx context.Context, service string, replicas int) error {
	if err := f.act(ctx, "Scale "+service); err != nil {
		return err
	}
	f.mu.Lock()
	from := f.service(service).Replicas
	f.service(service).Replicas = replicas
	f.mu.Unlock()
	f.sink(history.Event{Kind: history.ServiceScaled, Service: service, Detail: map[string]string{"from": fmt.Sprint(from),
		"to": fmt.Sprint(replicas)}})
	return nil
}

func (f *fake) Update(ctx context.Context, service string, change cluster.Change) error {
	if err := f.act(ctx, "Update "+service); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.service(service).Changed(change)
	*f.service(service) = s
	f.calls[len(f.calls)-1] += fmt.Sprintf(" %+v", change)
	if change.Rollout != nil {
		f.calls[len(f.calls)-1] = fmt.Sprintf("Update %s env=%v image=%s balance=%s rollout=%+v", service, change.Environment, change.Image,
			change.Balance, *change.Rollout)
	}
	return err
}

func (f *fake) Status(context.Context) (all []cluster.ServiceStatus, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.app.Services {
		status := cluster.ServiceStatus{Service: s, Running: s.Replicas}
		for slot := 1; slot <= s.Replicas; slot++ {
			status.Tasks = append(status.Tasks, cluster.Task{Name: fmt.Sprintf("%s.%d#1", s.Name, slot), Service: s.Name, Slot: slot, Image: s.Image,
				State: cluster.Running, Address: "127.0.0.1:1"})
		}
		all = append(all, status)
	}
	return all, nil
}

func (f *fake) Address(_ context.Context, service string) (string, error) {
	return service + ".test:80", f.fail["Address "+service]
}

func (f *fake) Counters(context.Context) ([]history.Reading, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance()
	if f.mute {
		return nil, errors.New("worker.1#1 does not answer")
	}
	if len(f.app.Services) == 0 {
		return nil, nil
	}
	return []history.Reading{{At: time.Since(f.start), Service: "worker", Task: "worker.1#1",
		Values: map[string]float64{history.Hashes: f.hashes}}}, nil
}

func (f *fake) Remove(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed++
	return f.fail["Remove"]
}

// mortal is a fake whose replicas can be killed.
type mortal struct{ *fake }

func (m mortal) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	if err := m.act(ctx, fmt.Sprintf("Kill %s.%d %+v", service, slot, fault)); err != nil {
		return err
	}
	m.sink(history.Event{Kind: history.TaskKilled, Service: service})
	return nil
}

func (m mortal) Rollback(ctx context.Context, service string) error {
	return m.act(ctx, "Rollback "+service)
}

func (m mortal) Restart(ctx context.Context, service string) error {
	return m.act(ctx, "Restart "+service)
}

func (m mortal) Pause(ctx context.Context, service string, slot int, d time.Duration) error {
	return m.act(ctx, fmt.Sprintf("Pause %s.%d %s", service, slot, d))
}

func (m mortal) Slow(ctx context.Context, service string, slot int, delay, d time.Duration) error {
	return m.act(ctx, fmt.Sprintf("Slow %s.%d %s %s", service, slot, delay, d))
}

func (m mortal) Drain(ctx context.Context, node string) error { return m.act(ctx, "Drain "+node) }
func (m mortal) Lost() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fail["Lost"]
}
func (m mortal) Partitions() error { return nil }
func (m mortal) Partition(ctx context.Context, node string, d time.Duration) error {
	return m.act(ctx, fmt.Sprintf("Partition %s %s", node, d))
}
func (m mortal) Activate(ctx context.Context, node string) error { return m.act(ctx, "Activate "+node) }

// dockercoins is the app that tests play.
func dockercoins(string) (cluster.App, error) {
	app := cluster.App{Name: "dockercoins", Source: []byte("services: {}\n")}
	for _, name := range []string{"redis", "hasher", "rng", "webui", "worker"} {
		app.Services = append(app.Services, cluster.Service{Name: name, Image: "coinbench/" + name + ":v0.1", Replicas: 1,
			Environment: map[string]string{}, Update: cluster.Rollout{Parallelism: 1, Monitor: 5 * time.Second}})
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
	fake     *fake
	run      *history.Run
	err      error
	progress []Progress
	loads    []loadgen.Workload
	took     time.Duration
}

// perform plays a scenario on a fake. It must be called within a bubble of synctest.
func perform(t *testing.T, ctx context.Context, yaml string, change func(*fake)) performance {
	t.Helper()
	s, err := Parse("test.yaml", []byte(yaml), Options{App: dockercoins})
	if err != nil {
		t.Fatalf("parse:\n%v", err)
	}
	var sink Sink
	p := performance{fake: newFake(sink.Event)}
	if change != nil {
		change(p.fake)
	}
	dir := t.TempDir()
	w, err := history.Create(dir, history.Manifest{Scenario: s.Name, Start: p.fake.start}, s.Source, s.App.Source)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Cluster: mortal{p.fake}, Sink: &sink, Writer: w, Start: p.fake.start,
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
		fmt.Fprintf(&b, "%8.3fs %d %s", e.At.Seconds(), e.Step, e.Kind)
		if e.Service != "" {
			b.WriteString(" " + e.Service)
		}
		for _, k := range sortedKeys(e.Detail) {
			fmt.Fprintf(&b, " %s=%q", k, e.Detail[k])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// hashes returns the hashes between the two readings at the edges of a window, and the time between them.
func (p performance) hashes(name string) (n float64, length time.Duration) {
	var begin, end time.Duration = -1, -1
	for _, e := range p.run.Events {
		if e.Detail["name"] == name && e.Kind == history.WindowOpen {
			begin = e.At
		}
		if e.Detail["name"] == name && e.Kind == history.WindowEnd {
			end = e.At
		}
	}
	var first, last *history.Reading
	for i, r := range p.run.Readings {
		if r.At == begin && first == nil {
			first = &p.run.Readings[i]
		}
		if r.At == end {
			last = &p.run.Readings[i]
		}
	}
	if first == nil || last == nil {
		return -1, 0
	}
	return last.Values[history.Hashes] - first.Values[history.Hashes], last.At - first.At
}
