package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/history/event"
)

// service is control's driver of itself.

// Release is control's.
func (s *service) Release() {
	s.Reset()
	s.c.bell.Ring(nil)
}

// Limit is control's: the cluster's deadline, and what the app itself asks for.
func (s *service) Limit() time.Duration {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.config.Deadline + s.spec.ConvergeTime()
}

// Check is control's.
func (s *service) Check(m *rollout.Machine) error {
	before, after := m.Before(), m.After()
	was, _, _ := cluster.OwnImage(before.Image)
	is, _, ok := cluster.OwnImage(after.Image)
	if ok && is != was {
		return fmt.Errorf("image %s is another service than %s; accepted: another tag of coinbench/%s", after.Image, before.Image, was)
	}
	if s.isRedis && m.Replaces() {
		return errors.New("redis has neither versions nor settings on the local cluster; accepted: balance")
	}
	after.Ports = nil // a version that listens elsewhere than its published port is a fault worth playing
	return errors.Join(checkService(cluster.App{}, after)...)
}

// Scale is control's: it makes the slots that are missing and stops the tasks of those that are too many.
func (s *service) Scale(_ context.Context, replicas int) error {
	if s.isRedis && replicas > 1 {
		return fmt.Errorf("%d replicas; accepted: at most 1 of redis", replicas)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.life.Err() != nil {
		return errRemoved
	}
	if replicas > 0 {
		if err := s.publish(); err != nil {
			return err
		}
	}
	s.spec.Replicas = replicas
	if s.isRedis {
		s.c.redis.attach(s, replicas)
		return nil
	}
	for n := 1; n <= replicas; n++ {
		if s.slots[n] == nil {
			s.slots[n] = &slot{n: n}
			s.launch(s.slots[n], s.spec)
		}
	}
	for n, sl := range s.slots {
		if n > replicas {
			delete(s.slots, n)
			sl.cancel()
			if sl.current != nil {
				sl.current.askStop()
			}
		}
	}
	s.c.bell.Ring(nil)
	return nil
}

// Become is control's.
func (s *service) Become(spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.spec = spec
	if s.rotation != nil {
		s.rotation.setPolicy(spec.Balance)
	}
	return nil
}

// Successor is control's.
func (s *service) Successor(n int) string {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	place := fmt.Sprintf("%s.%d", s.name, n)
	return fmt.Sprintf("%s#%d", place, s.c.numbers[place]+1)
}

// Do is control's: connections that are on their way to replicas out of rotation reach them first.
func (s *service) Do(ctx context.Context, a rollout.Action) error {
	err := s.Sets.Do(ctx, a)
	s.c.mu.Lock()
	settled := s.settled
	s.settled = nil
	s.c.mu.Unlock()
	if settled != nil {
		select {
		case <-settled:
		case <-time.After(time.Second): // as in task.leave
		}
	}
	return err
}

// What follows is control.Hands'. The caller holds mu.

// Spec is what the service shall be.
func (s *service) Spec() cluster.Service { return s.spec }

// Places are all slots.
func (s *service) Places() []int { return slices.Sorted(maps.Keys(s.slots)) }

// Current is the task that a slot has.
func (s *service) Current(n int) *task { return s.slots[n].current }

// Look looks at a task.
func (s *service) Look(t *task) control.Sight {
	if t == nil {
		return control.Sight{Stopping: true, Gone: true}
	}
	sight := control.Sight{Spec: t.spec, Stopping: t.stopRequested || t.over, Gone: !slices.Contains(s.tasks, t), Ready: t.ready, Up: t.joined}
	if t.err != nil {
		sight.Failure = t.lastWords()
	}
	return sight
}

// Begin starts a task.
func (s *service) Begin(n int, spec cluster.Service, held bool) (*task, error) {
	sl := s.slots[n]
	switch {
	case s.life.Err() != nil:
		return nil, errRemoved
	case held:
		return s.begin(sl, spec, true), nil
	}
	sl.cancel()
	sl.attempts, sl.givenUp, sl.failure = nil, nil, ""
	return s.launch(sl, spec), nil
}

// Stop tells a task to stop.
func (s *service) Stop(t *task) {
	if t != nil {
		t.askStop()
	}
}

// Give gives a slot to a task.
func (s *service) Give(n int, t *task) {
	sl := s.slots[n]
	sl.cancel()
	sl.current, sl.givenUp = t, nil
}

// Fill starts what is missing.
func (s *service) Fill() error {
	for _, sl := range s.slots {
		if sl.pending == nil && sl.givenUp == nil && (sl.current == nil || sl.current.stopRequested) {
			s.launch(sl, s.spec)
		}
	}
	return nil
}

// Turn makes a set the one that is in rotation, and the tasks of its slots. The switch is one change of the virtual address' rotation:
// connections that were made stay where they are, and every later one goes to the set. s.settled is closed when none is on its way to
// the other.
func (s *service) Turn(to map[int]*task) {
	settled := make(chan struct{})
	s.settled = settled
	var backends []*backend
	for _, t := range to {
		if t.backend != nil && !t.over {
			backends = append(backends, t.backend)
		}
	}
	if s.rotation != nil {
		s.rotation.swap(backends, func() { close(settled) })
	} else {
		close(settled)
	}
	for _, n := range s.Places() {
		if from := s.slots[n].current; from != nil && from.inRotation {
			from.inRotation = false
			s.c.emit(s.name, from.name, event.TaskLeft{})
		}
		s.Give(n, to[n])
		if to[n] != nil && !to[n].over {
			to[n].enter()
		}
	}
}
