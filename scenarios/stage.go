package scenarios

import (
	"context"
	"fmt"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
)

// stage is a scenario being played: what the steps act with.
type stage struct {
	scenario Scenario
	cluster  cluster.Cluster
	writer   *history.Writer
	start    time.Time
	playLoad func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord, error)
	stop     context.CancelCauseFunc // ends the run, for a reason that no step can return
	app      cluster.App             // as it is deployed now; steps alone touch it

	backgrounds []*background              // loads that go on alongside the steps; steps alone touch them
	previous    map[string]cluster.Service // what a rollback would return to; steps alone touch it

	reading sync.Mutex // one reading of the counters at a time

	mu       sync.Mutex
	step     int  // 0-based, in force, or the one before
	inForce  Step // without a verb: none is
	progress progress
	warned   map[string]bool
	watch    *watch                    // who is shown requests; nil: none
	edges    map[string]*history.Edges // by service

	disturbed map[string]bool // services to which a step has done something
}

func newStage(s Scenario, cfg Config) *stage {
	st := &stage{scenario: s, cluster: cfg.Cluster, writer: cfg.Writer, start: cfg.Start, playLoad: cfg.Play, app: copied(s.App), step: -1,
		warned: map[string]bool{}, previous: map[string]cluster.Service{}, edges: map[string]*history.Edges{}, disturbed: map[string]bool{},
		progress: newProgress(s, cfg.Session != nil, cfg.Progress)}
	if st.playLoad == nil {
		st.playLoad = loadgen.Run
	}
	if st.start.IsZero() {
		st.start = st.cluster.Now()
	}
	return st
}

// now is the time since the run's start.
func (st *stage) now() time.Duration { return st.cluster.Now().Sub(st.start) }

// event records an event; the first one that cannot be recorded ends the run.
func (st *stage) event(e history.Event) {
	if e.At == 0 {
		e.At = st.now()
	}
	st.mu.Lock()
	if e.Step == 0 && st.inForce.Verb != "" {
		e.Step = st.step + 1
	}
	st.mu.Unlock()
	st.divide(e)
	st.recorded(st.writer.Event(e))
}

// say records what happened now to a service, or to none.
func (st *stage) say(service string, p event.Payload) {
	st.event(history.Event{Service: service, Payload: p})
}

func (st *stage) recorded(err error) {
	if err != nil {
		st.stop(fmt.Errorf("write the history: %w", err))
	}
}

// warn records a warning, once however often it occurs.
func (st *stage) warn(message string) {
	st.mu.Lock()
	known := st.warned[message] || len(st.warned) > 100
	st.warned[message] = true
	st.mu.Unlock()
	if !known {
		st.say("", event.Warning{Message: message})
	}
}

// spawn runs f in the background, on a cluster of virtual time as a participant of its clock; wait waits for its end.
func (st *stage) spawn(f func()) (wait func()) {
	if c, ok := st.cluster.(cluster.VirtualClock); ok {
		return c.Go(f)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	return func() { <-ended }
}

// poll takes the counters once a second until the context is done; the channel is closed when it has ended.
func (st *stage) poll(ctx context.Context) <-chan struct{} {
	ended := make(chan struct{})
	st.spawn(func() {
		defer close(ended)
		defer func() {
			if r := recover(); r != nil {
				st.stop(fmt.Errorf("read the counters: a fault in coinbench itself: %v", r))
			}
		}()
		next := st.cluster.Now()
		for {
			next = next.Add(time.Second)
			now := st.cluster.Now()
			if next.Before(now) { // the last reading took long: skip, do not hurry after
				next = now
			}
			if st.cluster.Sleep(ctx, next.Sub(now)) != nil || ctx.Err() != nil {
				return
			}
			_ = st.read(ctx) // a task that comes or goes does not answer; the edges of windows insist
			if c, ok := st.cluster.(cluster.HealthReporter); ok && c.Lost() != nil {
				st.stop(c.Lost())
				return
			}
			st.report(false)
		}
	})
	return ended
}

// read takes every task's counters now and records them.
func (st *stage) read(ctx context.Context) error {
	st.reading.Lock()
	defer st.reading.Unlock()
	readings, err := st.cluster.Counters(ctx)
	for _, r := range readings {
		st.recorded(st.writer.Reading(r))
	}
	st.mu.Lock()
	st.progress.rates.add(readings)
	st.mu.Unlock()
	return err
}

// window is one measurement: everything between its events, and a reading of the counters directly after each. opened is called in it at
// once, so that what it begins is recorded as of the window.
func (st *stage) window(ctx context.Context, name string, length time.Duration, opened func()) error {
	begin := event.WindowBegin{Name: name, Profile: st.scenario.Profile, Replicas: map[string]int{}}
	for _, s := range st.app.Services {
		begin.Replicas[s.Name] = s.Replicas
	}
	st.say("", begin)
	opened()
	if err := st.edge(ctx); err != nil {
		return err
	}
	if err := st.cluster.Sleep(ctx, length); err != nil {
		return err // no end: the window is not whole, and nothing may be concluded from it
	}
	// As at the begin, the instant is that before the reading: so the window is as long as the time between its readings.
	end := st.now()
	if err := st.edge(ctx); err != nil {
		return err
	}
	st.event(history.Event{At: end, Payload: event.WindowEnd{Name: name}})
	return nil
}

// edge reads the counters at the edge of a window. A task that does not answer is a warning; no answer at all an error.
func (st *stage) edge(ctx context.Context) error {
	err := st.read(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		st.warn("at the edge of a window: " + err.Error())
	}
	return nil
}

// service is a deployed service, which the steps keep as it is now.
func (st *stage) service(name string) (*cluster.Service, bool) {
	for i := range st.app.Services {
		if st.app.Services[i].Name == name {
			return &st.app.Services[i], true
		}
	}
	return nil, false
}

func (st *stage) scale(ctx context.Context, name string, replicas int) error {
	st.doing("scaling %s to %d", name, replicas)
	if err := st.cluster.Scale(ctx, name, replicas); err != nil {
		return fmt.Errorf("scale %s to %d: %w", name, replicas, err)
	}
	if s, ok := st.service(name); ok {
		s.Replicas = replicas
	}
	return nil
}

// url is where a load is sent; port 0 is the service's own. Where a cluster knows no other, the plan has made sure that it is its own.
func (st *stage) url(ctx context.Context, service string, port int, path string) (string, error) {
	find := st.cluster.Address
	if c, ok := st.cluster.(cluster.Ports); ok && port > 0 {
		find = func(ctx context.Context, service string) (string, error) { return c.AddressAt(ctx, service, port) }
	}
	address, err := find(ctx, service)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", service, err)
	}
	return "http://" + address + path, nil
}

// load plays one load and records it.
func (st *stage) load(ctx context.Context, service string, w loadgen.Workload) error {
	return st.loadFrom(ctx, service, w, func() {})
}

// loadFrom is load, and calls begun when the load's begin is recorded.
func (st *stage) loadFrom(ctx context.Context, service string, w loadgen.Workload, begun func()) error {
	r, err := st.record(service, w)
	if err != nil {
		return err
	}
	begun()
	_ = st.read(ctx) // the services' own counters at both ends of the load
	if _, err := r.play(ctx, r); err != nil {
		return err
	}
	_ = st.read(ctx)
	return ctx.Err()
}

// send plays a load. A panic is a fault of ours; it must not leave the app running, as it would from a goroutine of its own.
func (st *stage) send(ctx context.Context, w loadgen.Workload, record loadgen.Recorder) (end history.LoadEndRecord, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a fault in coinbench itself: %v", r)
		}
	}()
	if _, virtual := st.cluster.(cluster.VirtualClock); virtual && w.Engine != "" {
		return end, fmt.Errorf("load %s: %s sends on the network, and this cluster's time is virtual: run it with --cluster local", w.Name,
			w.Engine)
	}
	return st.playLoad(ctx, w, st.start, record)
}
