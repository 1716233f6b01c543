package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
)

// Hands are what a driver does to single tasks. T names one; its zero value is none.
type Hands[T comparable] interface {
	Spec() cluster.Service // as tasks are started
	Places() []int         // all slots, in order
	Current(slot int) T    // its latest task, one that is told to stop included; none: it waits for a successor
	Look(T) Sight          // not of none

	Begin(slot int, spec cluster.Service, held bool) (T, error) // held: besides the slot's own task and out of rotation
	Stop(T)                                                     // tells it to stop, and not none; a second time is nothing
	Give(slot int, task T)                                      // the slot is the task's, and waits for no successor
	Turn(to map[int]T)                                          // gives the slots, and swaps their tasks in rotation between two connections
	Fill() error                                                // rollout.Fill
}

// Sight is what is seen of a task.
type Sight struct {
	cluster.Task                 // of SlotTable
	Spec         cluster.Service // that it was started as
	Stopping     bool            // told to, or gone
	Gone         bool
	Ready        bool   // could be in rotation
	Up           bool   // is, or was, in rotation
	Failure      string // how it ended or fell ill unasked; "": it did not
}

// Sets are the tasks of the rollout in progress, by slot: what all drivers that have Hands do alike.
type Sets[T comparable] struct {
	Hands[T]
	Lock sync.Locker // held while Hands are at work

	olds, news    map[int]T // of those that go one by one: olds are told to stop, or kept until the new one is up
	greens, blues map[int]T // of those that go at once
}

// Reset forgets a rollout that is over.
func (s *Sets[T]) Reset() { s.olds, s.news, s.greens, s.blues = nil, nil, nil, nil }

// look is Look, and of none, which is Stopping and Gone.
func (s *Sets[T]) look(t T) Sight {
	if t == *new(T) {
		return Sight{Stopping: true, Gone: true}
	}
	return s.Look(t)
}

// stop is Stop, but of none.
func (s *Sets[T]) stop(t T) {
	if t != *new(T) {
		s.Stop(t)
	}
}

// Slots is a Driver's.
func (s *Sets[T]) Slots() (all, dirty []int) {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	s.olds, s.news, s.greens, s.blues = map[int]T{}, map[int]T{}, nil, nil
	all = s.Places()
	for _, slot := range all {
		if t := s.look(s.Current(slot)); t.Stopping || !t.Spec.SameTasks(s.Spec()) {
			dirty = append(dirty, slot)
		}
	}
	return all, dirty
}

// Prepare is a Driver's.
func (s *Sets[T]) Prepare(_ context.Context, spec cluster.Service) (err error) {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	s.greens = map[int]T{}
	for _, slot := range s.Places() {
		if s.greens[slot], err = s.Begin(slot, spec, true); err != nil {
			return err
		}
	}
	return nil
}

// Do is a Driver's.
func (s *Sets[T]) Do(_ context.Context, a rollout.Action) (err error) {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	old := func() T {
		if _, known := s.olds[a.Slot]; !known {
			s.olds[a.Slot] = s.Current(a.Slot)
		}
		return s.olds[a.Slot]
	}
	all := func(set map[int]T) {
		for _, slot := range slices.Sorted(maps.Keys(set)) {
			s.stop(set[slot])
		}
	}
	switch a.Verb {
	case rollout.Stop:
		if _, known := s.olds[a.Slot]; !known {
			s.Give(a.Slot, old())
		}
		s.stop(old())
	case rollout.Start:
		old()
		s.news[a.Slot], err = s.Begin(a.Slot, s.Spec(), false)
	case rollout.Keep:
		if t := s.olds[a.Slot]; !s.look(t).Stopping {
			s.Give(a.Slot, t)
			s.stop(s.news[a.Slot])
		}
	case rollout.Fill:
		err = s.Fill()
	case rollout.Open:
	case rollout.TurnGreen:
		s.blues = map[int]T{}
		for _, slot := range s.Places() {
			s.blues[slot] = s.Current(slot)
		}
		s.Turn(s.greens)
	case rollout.TurnBlue:
		s.Turn(s.blues)
	case rollout.RetireGreen:
		all(s.greens)
	case rollout.RetireBlue:
		all(s.blues)
	default:
		err = fmt.Errorf("the cluster cannot %s", a.Verb)
	}
	return err
}

// Reports is a Driver's.
func (s *Sets[T]) Reports() (reports []rollout.Report, wake time.Time) {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	return s.ReportsOf(s.Places()), time.Time{}
}

// ReportsOf are those of some slots. The caller holds the lock.
func (s *Sets[T]) ReportsOf(slots []int) (reports []rollout.Report) {
	for _, slot := range slots {
		young, renewed := s.news[slot]
		green, prepared := s.greens[slot]
		if old, begun := s.olds[slot]; begun && !renewed && s.look(old).Gone {
			reports = append(reports, rollout.Report{Slot: slot, What: rollout.Gone})
		}
		if !renewed && !prepared {
			continue
		}
		if prepared {
			young = green
		}
		t := s.look(young)
		switch {
		case prepared && t.Ready:
			reports = append(reports, rollout.Report{Slot: slot, What: rollout.Ready})
		case t.Up:
			reports = append(reports, rollout.Report{Slot: slot, What: rollout.Up})
		}
		if t.Failure != "" {
			reports = append(reports, rollout.Report{Slot: slot, What: rollout.Failed, Reason: t.Failure})
		}
	}
	return reports
}
