package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/history"
)

// service is one service of the simulation, and control's driver of it. What is in it belongs to the cluster's mutex.
type service struct {
	*control.Service
	c     *Cluster
	spec  cluster.Service
	tasks map[int]cluster.Service // what each task was started as

	// The latest rollout.
	olds    map[int]int  // by slot: told to stop, or kept until the new one is up
	news    map[int]int  // by slot
	greens  map[int]int  // the second set, by slot
	blues   map[int]int  // the first, from the switch on
	failed  map[int]bool // new tasks that were given up
	touched []int        // slots in which the state of a task has changed since they were looked at last
	doomed  []doom       // new tasks whose health check is going to fail, the first to do so first
}

// doom is when a new task is given up, and why.
type doom struct {
	slot, id int
	at       time.Duration
	why      string
}

// nobody is in a slot whose task was killed, and whose successor is not there yet.
const nobody = -1

// Watch is control's: virtual time passes while it waits.
func (s *service) Watch() func(context.Context, time.Time) error {
	return func(ctx context.Context, until time.Time) error {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		return s.c.wait(ctx, until.Sub(s.c.start), true)
	}
}

// Now is control's.
func (s *service) Now() time.Time { return s.c.Now() }

// Release is control's.
func (s *service) Release() {
	s.c.mu.Lock()
	s.olds, s.news, s.greens, s.blues, s.failed, s.touched, s.doomed = nil, nil, nil, nil, nil, nil, nil
	s.c.mu.Unlock()
	s.c.wake()
}

// Limit is control's.
func (s *service) Limit() time.Duration { return patience }

// Check is control's.
func (s *service) Check(m *rollout.Machine) error {
	before, after := m.Before(), m.After()
	if _, err := parse(after); err != nil {
		return err
	}
	was, _, _ := cluster.OwnImage(before.Image)
	is, _, _ := cluster.OwnImage(after.Image)
	if is != was || is == des.Redis && m.Replaces() {
		return fmt.Errorf("image %s cannot become %s; accepted: another tag of the same service, and none of redis", before.Image, after.Image)
	}
	return nil
}

// Scale is control's.
func (s *service) Scale(_ context.Context, replicas int) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if kind, _, _ := cluster.OwnImage(s.spec.Image); kind == des.Redis && replicas > 1 {
		return fmt.Errorf("%d replicas; accepted: at most 1 of redis", replicas)
	}
	s.spec.Replicas = replicas
	return s.fill()
}

// Become is control's.
func (s *service) Become(spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, id := range s.c.currents(s) {
		if _, known := s.tasks[id]; !known { // a successor that the simulator started by itself
			s.tasks[id] = s.spec
		}
	}
	s.spec = spec
	return s.c.tell(spec)
}

// Slots is control's. It begins a part of a rollout: what was reported of an earlier one is forgotten.
func (s *service) Slots() (all, dirty []int) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	olds := map[int]int{}
	for slot, id := range s.olds { // an update that turns back leaves some that are not gone yet
		if _, renewed := s.news[slot]; !renewed && id != nobody && s.c.sim.Task(id).State == des.Stopping {
			olds[slot] = id
		}
	}
	s.olds, s.news, s.greens, s.blues, s.failed = olds, map[int]int{}, nil, nil, map[int]bool{}
	s.touched, s.doomed = nil, nil
	current := s.c.currents(s)
	for slot := 1; slot <= s.spec.Replicas; slot++ {
		all = append(all, slot)
		if id, ok := current[slot]; !ok || !s.as(id).SameTasks(s.spec) {
			dirty = append(dirty, slot)
		}
	}
	return all, dirty
}

// as is what a task was started as.
func (s *service) as(id int) cluster.Service {
	if spec, known := s.tasks[id]; known {
		return spec
	}
	return s.spec
}

// Successor is control's.
func (s *service) Successor(slot int) string {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.sim.Successor(s.spec.Name, slot)
}

// Prepare is control's.
func (s *service) Prepare(_ context.Context, spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.greens = map[int]int{}
	if err := s.c.tell(spec); err != nil {
		return err
	}
	for slot := 1; slot <= s.spec.Replicas; slot++ {
		id, err := s.c.sim.StartTaskBeside(s.spec.Name, slot)
		if err != nil {
			return err
		}
		s.greens[slot] = id
		s.began(slot, id, spec)
	}
	return s.c.tell(s.spec) // a blue one that dies is followed by its like
}

// began notes a task that was started.
func (s *service) began(slot, id int, spec cluster.Service) {
	s.tasks[id] = spec
	if set, err := parse(spec); err == nil {
		if why, grace := doomed(spec, set); why != "" {
			s.doomed = append(s.doomed, doom{slot, id, s.c.sim.Now() + s.c.config.Costs.TaskStart + grace, why})
		}
	}
}

// Do is control's.
func (s *service) Do(_ context.Context, a rollout.Action) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	sim := s.c.sim
	switch a.Verb {
	case rollout.Stop:
		old, known := s.olds[a.Slot]
		if !known {
			old = s.current(a.Slot)
			s.olds[a.Slot] = old
		}
		s.touched = append(s.touched, a.Slot) // its task may have been told to stop before
		return s.stop(old)
	case rollout.Start:
		if _, known := s.olds[a.Slot]; !known {
			s.olds[a.Slot] = s.current(a.Slot)
		}
		id, err := sim.StartTask(s.spec.Name, a.Slot)
		if err != nil {
			return err
		}
		s.news[a.Slot] = id
		s.began(a.Slot, id, s.spec)
	case rollout.Keep:
		if old, begun := s.olds[a.Slot]; begun && old != nobody && (sim.Task(old).State == des.Starting || sim.Task(old).State == des.Running) {
			sim.CancelRestart(s.spec.Name, a.Slot)
			return s.stop(s.news[a.Slot])
		}
	case rollout.Fill:
		return s.fill()
	case rollout.Open:
	case rollout.TurnGreen:
		s.blues = s.c.currents(s)
		sim.Turn(ids(s.greens), ids(s.blues))
	case rollout.TurnBlue:
		sim.Turn(ids(s.blues), ids(s.greens))
	case rollout.RetireGreen:
		return s.stop(ids(s.greens)...)
	case rollout.RetireBlue:
		return s.stop(ids(s.blues)...)
	default:
		return fmt.Errorf("the simulator cannot %s", a.Verb)
	}
	return nil
}

func (s *service) current(slot int) int {
	if id, ok := s.c.sim.Current(s.spec.Name, slot); ok {
		return id
	}
	return nobody
}

func (s *service) stop(tasks ...int) error {
	for _, id := range tasks {
		if id == nobody {
			continue
		}
		if err := s.c.sim.StopTask(id, des.Stop{Grace: s.spec.StopGrace}); err != nil {
			return err
		}
	}
	return nil
}

// fill starts and stops tasks until there are as many as there shall be.
func (s *service) fill() error {
	before := s.c.currents(s)
	if err := s.c.sim.Scale(s.spec.Name, s.spec.Replicas, des.Stop{Grace: s.spec.StopGrace}); err != nil {
		return err
	}
	for slot, id := range s.c.currents(s) {
		if old, ok := before[slot]; !ok || old != id {
			s.tasks[id] = s.spec
		}
	}
	return nil
}

// Reports is control's. An update of many tasks takes as many steps, and a step must not look at all of them.
func (s *service) Reports() (reports []rollout.Report, wake time.Time) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	sim := s.c.sim
	for len(s.doomed) > 0 && s.doomed[0].at <= sim.Now() {
		d := s.doomed[0]
		s.doomed = s.doomed[1:]
		t := sim.Task(d.id)
		if t.State == des.Gone || t.State == des.Stopping {
			continue
		}
		s.failed[d.id] = true
		s.c.emit(history.Event{Kind: history.TaskUnhealthy, Service: t.Service, Task: t.Name, Detail: map[string]string{"error": d.why}})
		_ = s.stop(d.id) // it is one that was started
		reports = append(reports, rollout.Report{Slot: d.slot, What: rollout.Failed, Reason: t.Name + ": " + d.why})
	}
	if len(s.doomed) > 0 {
		wake = s.c.start.Add(s.doomed[0].at)
	}
	slices.Sort(s.touched)
	for _, slot := range slices.Compact(s.touched) {
		if r := s.report(slot); r.What != "" {
			reports = append(reports, r)
		}
	}
	s.touched = s.touched[:0]
	return reports, wake
}

// report is what has become of a slot.
func (s *service) report(slot int) rollout.Report {
	sim := s.c.sim
	if id, ok := s.greens[slot]; ok {
		switch t := sim.Task(id); {
		case t.State == des.Gone && t.Error != "" && !s.failed[id]:
			s.failed[id] = true
			return rollout.Report{Slot: slot, What: rollout.Failed, Reason: t.Name + ": " + t.Error}
		case t.Ready:
			return rollout.Report{Slot: slot, What: rollout.Ready}
		}
		return rollout.Report{}
	}
	old, begun := s.olds[slot]
	id, renewed := s.news[slot]
	switch {
	case renewed && sim.Task(id).State == des.Running:
		return rollout.Report{Slot: slot, What: rollout.Up}
	case renewed && !s.failed[id] && sim.Task(id).State == des.Gone && sim.Task(id).Error != "":
		s.failed[id] = true
		return rollout.Report{Slot: slot, What: rollout.Failed, Reason: sim.Task(id).Name + ": " + sim.Task(id).Error}
	case begun && !renewed && (old == nobody || sim.Task(old).State == des.Gone):
		return rollout.Report{Slot: slot, What: rollout.Gone}
	}
	return rollout.Report{}
}

// Missing is control's.
func (s *service) Missing() (missing error, hopeless bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if set, err := parse(s.spec); err == nil && s.spec.Replicas > 0 {
		if why, _ := doomed(s.spec, set); why != "" {
			return errors.New("no task gets healthy: " + why), true
		}
	}
	starting, running, stopping := s.c.sim.Count(s.spec.Name)
	if starting == 0 && running == s.spec.Replicas && stopping == 0 {
		return nil, false
	}
	return fmt.Errorf("%d of %d tasks are in rotation, %d are starting, %d stopping", running, s.spec.Replicas, starting, stopping), false
}

// ids are the tasks of a set in the order of slots.
func ids(set map[int]int) (list []int) {
	for _, slot := range sorted(set) {
		list = append(list, set[slot])
	}
	return list
}
