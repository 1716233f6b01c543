package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/history"
)

// service is control's driver of itself.

// Now is control's.
func (s *service) Now() time.Time { return time.Now() }

// Watch is control's.
func (s *service) Watch() func(context.Context, time.Time) error {
	s.c.mu.Lock()
	changed := s.c.replaced
	s.c.mu.Unlock()
	return func(ctx context.Context, until time.Time) error {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
		case <-s.life.Done():
			return errRemoved
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return nil
	}
}

// Release is control's.
func (s *service) Release() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.olds, s.news, s.greens, s.blues = nil, nil, nil, nil
	s.c.changed()
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
	s.c.changed()
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

// Slots is control's.
func (s *service) Slots() (all, dirty []int) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.olds, s.news = map[int]*task{}, map[int]*task{}
	all = slices.Sorted(maps.Keys(s.slots))
	for _, n := range all {
		if t := s.slots[n].current; t == nil || t.wished || !t.spec.SameTasks(s.spec) {
			dirty = append(dirty, n)
		}
	}
	return all, dirty
}

// Successor is control's.
func (s *service) Successor(n int) string {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	place := fmt.Sprintf("%s.%d", s.name, n)
	return fmt.Sprintf("%s#%d", place, s.c.numbers[place]+1)
}

// Prepare is control's.
func (s *service) Prepare(_ context.Context, spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.life.Err() != nil {
		return errRemoved
	}
	s.greens = map[int]*task{}
	for _, n := range slices.Sorted(maps.Keys(s.slots)) {
		s.greens[n] = s.begin(s.slots[n], spec, true)
	}
	return nil
}

// Do is control's.
func (s *service) Do(_ context.Context, a rollout.Action) error {
	var settled <-chan struct{}
	defer func() {
		if settled != nil {
			select {
			case <-settled:
			case <-time.After(time.Second): // as in task.leave
			}
		}
	}()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.life.Err() != nil {
		return errRemoved
	}
	sl := s.slots[a.Slot] // nil for what is done to the service
	switch a.Verb {
	case rollout.Stop:
		old, known := s.olds[a.Slot]
		if !known {
			old = sl.current
			s.olds[a.Slot] = old
			sl.cancel()
		}
		if old != nil {
			old.askStop()
		}
	case rollout.Start:
		if _, known := s.olds[a.Slot]; !known {
			s.olds[a.Slot] = sl.current
		}
		sl.cancel()
		sl.attempts, sl.givenUp, sl.failure = nil, nil, ""
		s.news[a.Slot] = s.launch(sl, s.spec)
	case rollout.Keep:
		if old := s.olds[a.Slot]; old != nil && !old.wished && !old.over {
			sl.cancel()
			sl.current, sl.givenUp = old, nil
			s.news[a.Slot].askStop()
		}
	case rollout.Fill:
		for _, sl := range s.slots {
			if sl.pending == nil && sl.givenUp == nil && (sl.current == nil || sl.current.wished) {
				s.launch(sl, s.spec)
			}
		}
	case rollout.Open:
	case rollout.TurnGreen:
		s.blues = map[int]*task{}
		for n, sl := range s.slots {
			if sl.current != nil {
				s.blues[n] = sl.current
			}
		}
		settled = s.turn(s.greens)
	case rollout.TurnBlue:
		settled = s.turn(s.blues)
	case rollout.RetireGreen, rollout.RetireBlue:
		for _, t := range s.tasks {
			if sl := s.slots[t.slot]; sl == nil || sl.current != t {
				t.askStop()
			}
		}
	default:
		return fmt.Errorf("the local cluster cannot %s", a.Verb)
	}
	return nil
}

// turn makes a set the one that is in rotation, and the tasks of its slots. The switch is one change of the virtual address' rotation:
// connections that were made stay where they are, and every later one goes to the set. settled is closed when none is on its way to
// the other. The caller holds mu.
func (s *service) turn(to map[int]*task) (settled chan struct{}) {
	settled = make(chan struct{})
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
	for _, n := range slices.Sorted(maps.Keys(s.slots)) {
		sl := s.slots[n]
		sl.cancel()
		if from := sl.current; from != nil && from.inRotation {
			from.inRotation = false
			s.c.emit(history.TaskLeft, s.name, from.name)
		}
		sl.current, sl.givenUp = to[n], nil
		if to[n] != nil && !to[n].over {
			to[n].enter()
		}
	}
	return settled
}

// Reports is control's.
func (s *service) Reports() (reports []rollout.Report, wake time.Time) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	report := func(n int, what rollout.What, reason string) {
		reports = append(reports, rollout.Report{Slot: n, What: what, Reason: reason})
	}
	for n, t := range s.greens {
		switch {
		case t.err != nil:
			report(n, rollout.Failed, t.epitaph())
		case t.ready:
			report(n, rollout.Ready, "")
		}
	}
	for n, old := range s.olds {
		if s.news[n] == nil && (old == nil || !slices.Contains(s.tasks, old)) {
			report(n, rollout.Gone, "")
		}
	}
	for n, t := range s.news {
		if t.joined {
			report(n, rollout.Up, "")
		}
		if t.err != nil {
			report(n, rollout.Failed, t.epitaph())
		}
	}
	slices.SortStableFunc(reports, func(a, b rollout.Report) int { return a.Slot - b.Slot })
	return reports, time.Time{}
}
