package local

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
)

// service is control's driver of itself.

// Limit is control's: the cluster's deadline, and what the app itself asks for.
func (s *service) Limit() time.Duration {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.config.Deadline + s.Wanted.ConvergeTime()
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

// Scale is control's.
func (s *service) Scale(ctx context.Context, replicas int) error {
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
	s.Wanted.Replicas = replicas
	if s.isRedis {
		s.c.redis.attach(s, replicas)
		return nil
	}
	defer s.c.bell.Ring(nil)
	return s.Fill()
}

// Become is control's.
func (s *service) Become(spec cluster.Service) error {
	if s.rotation != nil {
		s.rotation.setPolicy(spec.Balance)
	}
	return s.SlotTable.Become(spec)
}

// Do is control's: connections that are on their way to replicas out of rotation reach them first.
func (s *service) Do(ctx context.Context, a rollout.Action) error {
	err := s.SlotTable.Do(ctx, a)
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

// Look looks at a task.
func (s *service) Look(t *task) control.Sight {
	sight := control.Sight{Spec: t.spec, Stopping: t.stopRequested || t.over, Gone: !slices.Contains(s.Tasks, t), Ready: t.ready, Up: t.joined,
		Task: cluster.Task{Name: t.name, Service: s.name, Slot: t.slot, Node: "local", Image: t.spec.Image, State: t.state, Address: t.listen}}
	if t.err != nil {
		sight.Error, sight.Failure = t.err.Error(), t.lastWords()
	}
	return sight
}

// Stop tells a task to stop.
func (s *service) Stop(t *task) { t.askStop() }

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
		if from := s.Current(n); from != nil && from.inRotation {
			from.inRotation = false
			s.c.emit(s.name, from.name, event.TaskLeft{})
		}
		s.Give(n, to[n])
		if to[n] != nil && !to[n].over {
			to[n].enter()
		}
	}
}
