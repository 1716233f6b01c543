package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
)

// Config is what Run needs besides the scenario. Cluster, Sink and Writer are required.
type Config struct {
	Cluster cluster.Cluster // its events go to Sink.Event; nothing is deployed yet, or the app on which the scenario is played
	Sink    *Sink           //
	Writer  *history.Writer // Run does not close it
	Start   time.Time       // Manifest.Start on the cluster's clock; zero: the moment Run is called

	// Progress is told what is happening: at every step, about once a second, and at the end. Nil: none.
	// It is called from one goroutine at a time and must return quickly.
	Progress func(Progress)

	// Session gives the steps one after the other while they are played; nil: they are the scenario's.
	Session *Session

	// Play sends a load; nil: loadgen.Run.
	Play func(ctx context.Context, w loadgen.Workload, origin time.Time, rec loadgen.Recorder) (history.LoadEndRecord, error)
}

// Sink takes a cluster's events and passes them to the run in progress; before and after a run they are dropped.
// The zero value is ready. It exists because a cluster must be given its sink before the run can be given the cluster.
type Sink struct {
	mu   sync.Mutex
	take func(history.Event)
}

// Event is the cluster.Sink.
func (s *Sink) Event(e history.Event) {
	s.mu.Lock()
	take := s.take
	s.mu.Unlock()
	if take != nil {
		take(e)
	}
}

func (s *Sink) connect(take func(history.Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take = take
}

// How long a run goes on after its last step or its interruption.
const (
	lastReading = 500 * time.Millisecond  // to take the counters once more
	removal     = 4500 * time.Millisecond // to take the app down
)

// Check says, without touching anything, whether the cluster can play the scenario; all faults at once.
func Check(s Scenario, c cluster.Cluster) error {
	var errs []error
	known := map[string]bool{}
	for i, step := range s.Steps {
		if a, ok := step.act.(interface{ supported(cluster.Cluster) error }); ok {
			if err := a.supported(c); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %s: %w", s.File, step.Line, step.Verb, err))
			}
		}
		_, deploys := step.act.(*Deploy)
		if !deploys && len(step.places) == 0 {
			continue
		}
		for _, err := range parts(c.Check(step.app)) {
			if !known[err.Error()] {
				known[err.Error()] = true
				errs = append(errs, s.blame(s.Steps[i], err))
			}
		}
	}
	if !slices.ContainsFunc(s.Steps, func(step Step) bool { _, deploys := step.act.(*Deploy); return deploys }) {
		errs = append(errs, c.Check(s.App))
	}
	return errors.Join(errs...)
}

// disturbed are the nodes that steps drain or cut off.
func (s Scenario) disturbed() (nodes []string) {
	for _, step := range s.Steps {
		name := ""
		switch a := step.act.(type) {
		case *Drain:
			name = a.Node
		case *Partition:
			name = a.Node
		}
		if name != "" && !slices.Contains(nodes, name) {
			nodes = append(nodes, name)
		}
	}
	return nodes
}

// parts are the errors that were joined.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, parts(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// blame puts a fault of the app where the step has written what is wrong, if it has.
func (s Scenario) blame(step Step, err error) error {
	var fault *cluster.ComposeError
	if !errors.As(err, &fault) {
		return err
	}
	for n := len(fault.Path); n > 0; n-- {
		at, ok := step.places[strings.Join(fault.Path[:n], ".")]
		if !ok {
			continue
		}
		f := &Fault{File: s.File, Line: at.line, Column: at.column, Message: fault.Problem}
		if fault.Accepted != "" {
			f.Message += "; accepted: " + fault.Accepted
		}
		if lines := linesOf(s.Source); at.line >= 1 && at.line <= len(lines) {
			f.Source = lines[at.line-1]
		}
		return f
	}
	return err
}

// Run plays a scenario and records it. It returns nil when every step was played, the context's error when it was
// interrupted, and otherwise what stopped it; all of this is in the history as well. Whatever happens, the app is taken
// down before Run returns, within about five seconds, unless it was up before (Scenario.Attach).
func Run(ctx context.Context, s Scenario, cfg Config) (err error) {
	st := newStage(s, cfg)
	run, cancel := context.WithCancelCause(ctx)
	st.stop = cancel
	cfg.Sink.connect(st.event)
	defer cfg.Sink.connect(nil)
	if c, ok := cfg.Cluster.(cluster.Sparer); ok {
		c.Spare(s.disturbed())
	}

	where := cfg.Cluster.Name()
	steps, next := len(s.Steps), s.list()
	if cfg.Session != nil {
		cfg.Session.on(cfg.Cluster)
		steps, next = 0, func(failed error) (Step, bool) {
			step, more := cfg.Session.next(failed)
			st.recorded(cfg.Writer.Scenario(cfg.Session.YAML()))
			return step, more
		}
	}
	st.say("", event.RunBegin{Scenario: s.Name, Steps: steps, Settings: s.Settings, Objectives: s.Objectives,
		Unmet: cmp.Or(s.Unmet[where], s.Unmet["any"])})
	polled := st.poll(run) // before anything is done, so that nothing is missed
	if s.Attach {
		if err = st.adopt(run); err == nil && s.Profile != "" { // which a scenario without a deploy step has too
			err = st.adjust(run, s.App)
		}
	}
	if err == nil {
		err = st.steps(run, next)
	}
	if cause := context.Cause(run); cause != nil {
		err = cause
	}
	cancel(nil)
	<-polled

	after := context.WithoutCancel(ctx)
	st.finish(after, s.reads())
	if !s.Attach {
		err = errors.Join(err, st.remove(after))
	}
	if err == nil {
		err = cfg.Writer.Err()
	}

	status := history.Finished
	switch {
	case ctx.Err() != nil:
		status = history.Interrupted
		if err == nil {
			err = ctx.Err()
		}
		if !errors.Is(err, ctx.Err()) { // the cause that was given may be another
			err = fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	case err != nil:
		status = history.RunFailed
	}
	st.say("", event.RunEnd{Status: string(status), Error: errorText(err)})
	st.report(true)
	return err
}

// errorText is an error's; "" of none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// reads says whether there is anything to read the counters of.
func (s Scenario) reads() bool { return len(s.Steps) > 0 }

// source gives the steps of a run one after the other. It is told how the one before ended, and says whether there is another.
type source func(failed error) (step Step, more bool)

// list gives the steps of the scenario until one fails.
func (s Scenario) list() source {
	n := 0
	return func(failed error) (step Step, more bool) {
		if failed != nil || n == len(s.Steps) {
			return step, false
		}
		n++
		return s.Steps[n-1], true
	}
}

// steps plays one step after the other, and ends what they left going on.
func (st *stage) steps(ctx context.Context, next source) (err error) {
	defer func() { err = errors.Join(err, st.settle(err != nil)) }()
	for i := 0; ; i++ {
		if ctx.Err() != nil {
			return cmp.Or(err, ctx.Err())
		}
		step, more := next(err)
		if !more {
			if err == nil {
				st.begin(i, Step{})
			}
			return err
		}
		st.begin(i, step)
		begin, service := event.StepBegin{Verb: step.Verb, Title: step.Title, By: step.By}, ""
		if d, ok := step.act.(disturbing); ok {
			begin.Disturbance, service = d.disturbs()
		}
		st.say(service, begin)
		if err = st.act(ctx, step); err != nil {
			err = fmt.Errorf("step %d (%s): %w", i+1, step.Title, err)
		}
		st.say("", event.StepEnd{Verb: step.Verb, Error: errorText(err)})
	}
}

// act plays one step. A panic in a step is a fault of ours; it must not leave the app running.
func (st *stage) act(ctx context.Context, step Step) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a fault in coinbench itself: %v", r)
		}
	}()
	return step.act.play(ctx, st)
}

// finish takes the counters once more, so that an interrupted run loses nothing.
func (st *stage) finish(ctx context.Context, any bool) {
	if !any {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastReading)
	defer cancel()
	_ = st.read(ctx) // the app may be gone already
}

func (st *stage) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removal)
	defer cancel()
	if err := st.cluster.Remove(ctx); err != nil {
		return fmt.Errorf("take the app down: %w", err)
	}
	return nil
}
