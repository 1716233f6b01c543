// Package control carries changes of services out: a turn for each service, the actions of package rollout done by a cluster's
// driver, deadlines, and the events of it all.
package control

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/history"
	"coinbench/history/event"
)

// Driver is a cluster's hands on one service. Its methods return at once, or when the cluster's engine has answered, and hold no lock
// when they have returned.
type Driver interface {
	Now() time.Time

	// Watch returns a wait, which ends with nil when something has changed since Watch was called, or at an instant, and else with
	// why it makes no sense any more.
	Watch() (wait func(ctx context.Context, until time.Time) error)
	Release() // the turn of a change is over, which ends the waits

	// Limit is the longest that a change of the service may take beyond the times that its settings ask for.
	Limit() time.Duration

	// Check says whether a change can be carried out.
	Check(*rollout.Machine) error

	Scale(ctx context.Context, replicas int) error
	Become(spec cluster.Service) error
	Slots() (all, dirty []int)

	Prepare(ctx context.Context, spec cluster.Service) error // rollout.Prepare
	Do(context.Context, rollout.Action) error                // the other verbs: from rollout.Stop on
	Successor(slot int) string                               // name of the next task of a slot

	// Reports is what has become of tasks since the last call, and when it must be called again even if nothing changes; zero: never.
	Reports() (reports []rollout.Report, wake time.Time)

	// Missing says which tasks are not as the service says; nil: all are. hopeless: waiting does not help.
	Missing() (missing error, hopeless bool)
}

// Engine is a Driver whose cluster replaces tasks by itself: of rollout's actions that are no part of blue-green it is given these alone.
type Engine interface {
	Driver
	Fetch(ctx context.Context, spec cluster.Service) error // rollout.Fetch
	Move(context.Context, rollout.Order) error             // rollout.Move

	InForce(*event.InForce)                      // adds what the engine made of the service
	Names(ctx context.Context) map[string]string // the addresses by which the service is found, by name
}

// Service is a service under control. Its methods wait for their turn.
type Service struct {
	name   string
	hint   string
	driver Driver
	emit   cluster.Sink
	busy   atomic.Bool
	state  rollout.State // of the one whose turn it is
}

// New puts a service under control. hint says where to look when it does not converge; emit is called while no lock is held.
func New(d Driver, state rollout.State, hint string, emit cluster.Sink) *Service {
	_, state.Native = d.(Engine)
	return &Service{name: state.Spec.Name, hint: hint, driver: d, emit: emit, state: state}
}

// begin waits for its turn.
func (s *Service) begin(ctx context.Context) error {
	for {
		wait := s.driver.Watch()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.busy.CompareAndSwap(false, true):
			return nil
		}
		if err := wait(ctx, s.driver.Now().Add(time.Second)); err != nil {
			return err
		}
	}
}

func (s *Service) end() {
	s.busy.Store(false)
	s.driver.Release()
}

func (s *Service) event(p event.Payload) { s.emit(history.NewEvent(s.name, "", p)) }

// Deployed waits until a service that was started for the first time is there.
func (s *Service) Deployed(ctx context.Context) error {
	if err := s.Converge(ctx); err != nil {
		return err
	}
	s.event(event.ServiceDeployed{InForce: s.inForce(ctx)})
	return nil
}

// inForce is what holds for the service.
func (s *Service) inForce(ctx context.Context) event.InForce {
	is := s.state.Spec.InForce()
	if e, ok := s.driver.(Engine); ok {
		e.InForce(&is)
		is.DNS = e.Names(ctx)
	}
	return is
}

// Scale sets the replicas.
func (s *Service) Scale(ctx context.Context, replicas int) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	switch {
	case replicas < 0:
		return fmt.Errorf("%d replicas; accepted: a number, at least 0", replicas)
	case s.state.Spec.Global:
		return errors.New(cluster.GlobalNumber(s.name, replicas))
	}
	if err := s.driver.Scale(ctx, replicas); err != nil {
		return err
	}
	from := s.state.Spec.Replicas
	s.state.Spec.Replicas = replicas
	if err := s.Converge(ctx); err != nil {
		return err
	}
	scaled := event.ServiceScaled{From: from, To: replicas}
	if e, ok := s.driver.(Engine); ok {
		scaled.DNS = e.Names(ctx)
	}
	s.event(scaled)
	return nil
}

// Update changes the service. A cluster.RolloutError says that the update was paused or rolled back.
func (s *Service) Update(ctx context.Context, change cluster.Change) error {
	return s.change(ctx, func() (*rollout.Machine, error) { return rollout.Update(&s.state, change, s.driver.Limit()) })
}

// Rollback undoes the last update.
func (s *Service) Rollback(ctx context.Context) error {
	return s.change(ctx, func() (*rollout.Machine, error) { return rollout.Rollback(&s.state) })
}

// Restart replaces every task by one that is the same.
func (s *Service) Restart(ctx context.Context) error {
	return s.change(ctx, func() (*rollout.Machine, error) { return rollout.Restart(&s.state), nil })
}

func (s *Service) change(ctx context.Context, begin func() (*rollout.Machine, error)) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	m, err := begin()
	if err != nil {
		return err
	}
	if err := s.driver.Check(m); err != nil {
		return err
	}
	out, err := s.carry(ctx, m)
	if err == nil && out.Converge {
		err = s.Converge(ctx)
	}
	if err != nil {
		return err
	}
	if out.Outcome != "" {
		s.event(event.RolloutEnd{Outcome: out.Outcome, Reason: out.Reason})
		if out.Outcome != event.Completed {
			return &cluster.RolloutError{Service: s.name, Outcome: out.Outcome, Reason: out.Reason}
		}
	}
	s.event(event.ServiceUpdated{InForce: s.inForce(ctx)})
	return nil
}

// carry carries a change out.
func (s *Service) carry(ctx context.Context, m *rollout.Machine) (rollout.Output, error) {
	d := s.driver
	stall := d.Limit() + m.Patience()
	moved := d.Now()
	var seen rollout.Observation
	for {
		wait := d.Watch()
		reports, wake := d.Reports()
		seen.Reports = reports
		now := d.Now()
		out := m.Step(now, seen)
		seen = rollout.Observation{}
		for _, e := range out.Events {
			s.emit(e)
		}
		if len(out.Events) > 0 {
			moved = now
		}
		err := s.perform(ctx, m, out.Actions, &seen)
		switch {
		case err != nil:
		case out.Done:
			return out, nil
		case len(out.Actions) > 0:
			moved = now
			continue
		case now.Sub(moved) >= stall:
			err = fmt.Errorf("nothing moved for %s", stall)
		default:
			until := moved.Add(stall)
			for _, at := range []time.Time{wake, out.Wake} {
				if !at.IsZero() && at.Before(until) {
					until = at
				}
			}
			if err = wait(ctx, until); err == nil {
				continue
			}
		}
		missing, _ := d.Missing()
		_ = s.perform(context.WithoutCancel(ctx), m, m.Abort(), &seen) // what failed is said already
		return out, errors.Join(err, missing)
	}
}

func (s *Service) perform(ctx context.Context, m *rollout.Machine, actions []rollout.Action, seen *rollout.Observation) (err error) {
	for _, a := range actions {
		switch a.Verb {
		case rollout.Become:
			err = s.driver.Become(s.state.Spec)
		case rollout.Look:
			seen.Looked = true
			seen.Slots, seen.Dirty = s.driver.Slots()
		case rollout.Pulled:
			s.emit(history.NewEvent(s.name, s.driver.Successor(a.Slot), event.TaskPulled{}))
		case rollout.Prepare:
			err = s.driver.Prepare(ctx, m.After())
		case rollout.Open:
			if refused := s.driver.Do(ctx, a); refused != nil {
				err, seen.Refused = context.Cause(ctx), refused.Error()
			}
		case rollout.Fetch:
			err = s.driver.(Engine).Fetch(ctx, m.After())
		case rollout.Move:
			err = s.driver.(Engine).Move(ctx, m.Order())
		default:
			err = s.driver.Do(ctx, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Converge waits until every slot has a task in rotation, and nothing else is left.
func (s *Service) Converge(ctx context.Context) error {
	d := s.driver
	limit := d.Limit()
	deadline := d.Now().Add(limit)
	for {
		wait := d.Watch()
		missing, hopeless := d.Missing()
		switch {
		case missing == nil || hopeless:
			return missing
		case !d.Now().Before(deadline):
			return fmt.Errorf("not converged within %s: %w; %s", limit, missing, s.hint)
		}
		if err := wait(ctx, deadline); err != nil {
			return fmt.Errorf("%w: %w", err, missing)
		}
	}
}
