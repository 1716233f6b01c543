package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// service is a deployed service, and control's driver of it. What is in it belongs to the cluster's mutex.
type service struct {
	*control.Service
	*control.Bell
	*control.Sets[*task]
	c        *Cluster
	spec     cluster.Service
	slots    map[int]*task       // the latest of each
	pending  map[int]*time.Timer // slots that wait for a successor
	tasks    []*task             // that are not gone
	rotation []*task             // in the order of slots
	turns    map[string]int      // of each client
}

func (c *Cluster) newService(spec cluster.Service) (*service, error) {
	s := &service{c: c, spec: spec, Bell: control.NewBell(), slots: map[int]*task{}, pending: map[int]*time.Timer{}, turns: map[string]int{}}
	s.Sets = &control.Sets[*task]{Hands: s, Lock: &c.mu}
	s.Service = control.New(s, rollout.State{Spec: spec}, "look at its environment and health check", c.outbox.Put)
	return s, nil
}

// What follows is control.Driver's, but for what Bell and Sets do.

func (s *service) Release() {
	s.Reset()
	s.Ring(nil)
}

func (s *service) Limit() time.Duration { return 5 * time.Minute }

func (s *service) Check(m *rollout.Machine) error {
	before, after := m.Before(), m.After()
	if cluster.ParseImage(before.Image).Kind != cluster.ParseImage(after.Image).Kind {
		return fmt.Errorf("image %s cannot become %s; accepted: another tag of the same service", before.Image, after.Image)
	}
	after.Ports = nil // a version that listens elsewhere than its published port is a fault worth playing
	return s.c.Check(cluster.App{Services: []cluster.Service{after}})
}

func (s *service) Scale(_ context.Context, replicas int) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.spec.Replicas = replicas
	return s.Fill()
}

func (s *service) Become(spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.spec = spec
	return nil
}

func (s *service) Successor(slot int) string {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.name(slot)
}

// name is that of the next task of a slot. The caller holds mu.
func (s *service) name(slot int) string {
	place := fmt.Sprintf("%s.%d", s.spec.Name, slot)
	return fmt.Sprintf("%s#%d", place, s.c.numbers[place]+1)
}

func (s *service) Missing() (missing error, hopeless bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	why, _ := s.spec.NeverHealthy()
	in := len(s.rotation)
	for _, t := range s.rotation {
		if t.over() {
			in--
		}
	}
	switch {
	case why != "" && s.spec.Replicas > 0:
		return errors.New("no task gets healthy: " + why), true
	case in == s.spec.Replicas && len(s.tasks) == in:
		return nil, false
	}
	return fmt.Errorf("%d of %d tasks are in rotation, and %d others are not gone", in, s.spec.Replicas, len(s.tasks)-in), false
}

// What follows is control.Hands'.

func (s *service) Spec() cluster.Service { return s.spec }

func (s *service) Places() (slots []int) {
	for slot := 1; slot <= s.spec.Replicas; slot++ {
		slots = append(slots, slot)
	}
	return slots
}

func (s *service) Current(slot int) *task { return s.slots[slot] }

func (s *service) Look(t *task) control.Sight {
	if t == nil {
		return control.Sight{Stopping: true, Gone: true}
	}
	return control.Sight{Spec: t.spec, Stopping: t.state == cluster.Stopping || t.over(), Gone: t.over(), Ready: t.ready, Up: t.joined,
		Failure: t.failure}
}

func (s *service) Begin(slot int, spec cluster.Service, held bool) (t *task, err error) {
	t = &task{s: s, name: s.name(slot), slot: slot, spec: spec, state: cluster.Starting, held: held, gone: make(chan struct{})}
	if i := cluster.ParseImage(spec.Image); i.Coinbench() {
		if t.set, err = settings.Parse(i.Kind, spec.Effective()); err != nil {
			return nil, err
		}
	}
	s.tasks = append(s.tasks, t)
	s.c.numbers[fmt.Sprintf("%s.%d", s.spec.Name, slot)]++
	if !held {
		s.Give(slot, t)
	}
	t.start()
	return t, nil
}

func (s *service) Stop(t *task) {
	if t == nil {
		return
	}
	if t.leave(); s.Look(t).Stopping {
		return
	}
	t.state = cluster.Stopping
	t.emit(event.TaskStopping{})
	if t.set.OnSIGTERM != settings.Ignore || t.after(t.spec.StopGrace, func() { t.end("") }) == nil {
		t.end("")
	}
}

func (s *service) Give(slot int, t *task) {
	delete(s.pending, slot)
	s.slots[slot] = t
}

func (s *service) Turn(to map[int]*task) {
	for _, slot := range s.Places() {
		if old := s.slots[slot]; old != nil {
			old.leave()
		}
		s.Give(slot, to[slot])
		if t := to[slot]; t != nil && !t.over() {
			t.enter()
		}
	}
}

func (s *service) Fill() error {
	for _, t := range slices.Clone(s.tasks) {
		if t.slot > s.spec.Replicas {
			delete(s.slots, t.slot)
			s.Stop(t)
		}
	}
	for _, slot := range s.Places() {
		if s.pending[slot] == nil && s.Look(s.slots[slot]).Stopping {
			if _, err := s.Begin(slot, s.spec, false); err != nil {
				return err
			}
		}
	}
	return nil
}
