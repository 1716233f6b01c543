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
	"coinbench/history/event"
)

// service is one service of the simulation, and control's driver of it. What is in it belongs to the cluster's mutex.
type service struct {
	*control.Service
	*control.Sets[task]
	c       *Cluster
	spec    cluster.Service
	tasks   map[task]cluster.Service // what each was started as
	stopped map[int]task             // the last of each slot that was told to
	failed  map[task]string          // those that were given up, and why
	touched []int                    // slots in which the state of a task has changed since they were looked at last
	failing []failing                // new tasks whose health check is going to fail, the first to do so first
}

// task is the number of a task in the simulation, and one; 0: none.
type task int

func (t task) id() int { return int(t) - 1 }

// failing is when a new task is given up, and why.
type failing struct {
	task
	at  time.Duration
	why string
}

func newService(c *Cluster, spec cluster.Service) *service {
	s := &service{c: c, spec: spec, tasks: map[task]cluster.Service{}, stopped: map[int]task{}, failed: map[task]string{}}
	s.Sets = &control.Sets[task]{Hands: s, Lock: &c.mu}
	s.Service = control.New(s, rollout.State{Spec: spec}, "check its environment and health check", c.emit)
	return s
}

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
	s.Reset()
	s.touched, s.failing = nil, nil
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
	if is != was || is == cluster.Redis && m.Replaces() {
		return fmt.Errorf("image %s cannot become %s; accepted: another tag of the same service, and none of redis", before.Image, after.Image)
	}
	return nil
}

// Scale is control's.
func (s *service) Scale(_ context.Context, replicas int) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if kind, _, _ := cluster.OwnImage(s.spec.Image); kind == cluster.Redis && replicas > 1 {
		return fmt.Errorf("%d replicas; accepted: at most 1 of redis", replicas)
	}
	s.spec.Replicas = replicas
	return s.Fill()
}

// Become is control's.
func (s *service) Become(spec cluster.Service) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for slot := 1; slot <= s.spec.Replicas; slot++ {
		if t := s.Current(slot); s.tasks[t].Name == "" { // a successor that the simulator started by itself
			s.tasks[t] = s.spec
		}
	}
	s.spec = spec
	return s.c.tell(spec)
}

// Successor is control's.
func (s *service) Successor(slot int) string {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.sim.Successor(s.spec.Name, slot)
}

// Reports is control's. An update of many tasks takes as many steps, and a step must not look at all of them.
func (s *service) Reports() (reports []rollout.Report, wake time.Time) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for len(s.failing) > 0 && s.failing[0].at <= s.c.sim.Now() {
		f := s.failing[0]
		s.failing = s.failing[1:]
		if t := s.c.sim.Task(f.id()); t.State == des.Starting || t.State == des.Running {
			s.failed[f.task] = t.Name + ": " + f.why
			s.c.emit(history.NewEvent(t.Service, t.Name, event.TaskUnhealthy{Error: f.why}))
			s.Stop(f.task)
		}
	}
	if len(s.failing) > 0 {
		wake = s.c.start.Add(s.failing[0].at)
	}
	slices.Sort(s.touched)
	reports = s.ReportsOf(slices.Compact(s.touched))
	s.touched = s.touched[:0]
	return reports, wake
}

// Missing is control's.
func (s *service) Missing() (missing error, hopeless bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if why, _ := s.spec.NeverHealthy(); why != "" && s.spec.Replicas > 0 {
		return errors.New("no task gets healthy: " + why), true
	}
	starting, running, stopping := s.c.sim.Count(s.spec.Name)
	if starting == 0 && running == s.spec.Replicas && stopping == 0 {
		return nil, false
	}
	return fmt.Errorf("%d of %d tasks are in rotation, %d are starting, %d stopping", running, s.spec.Replicas, starting, stopping), false
}

// What follows is control.Hands'. The caller holds mu.

// Spec is what the service shall be.
func (s *service) Spec() cluster.Service { return s.spec }

// Places are all slots.
func (s *service) Places() (slots []int) {
	for slot := 1; slot <= s.spec.Replicas; slot++ {
		slots = append(slots, slot)
	}
	return slots
}

// Current is the task that a slot has.
func (s *service) Current(slot int) task {
	if id, ok := s.c.sim.Current(s.spec.Name, slot); ok {
		return task(id + 1)
	}
	return s.stopped[slot]
}

// as is what a task was started as.
func (s *service) as(t task) cluster.Service {
	if spec, known := s.tasks[t]; known {
		return spec
	}
	return s.spec
}

// Look looks at a task.
func (s *service) Look(t task) control.Sight {
	is := s.c.sim.Task(t.id())
	sight := control.Sight{Spec: s.as(t), Gone: is.State == des.Gone, Stopping: is.State == des.Gone || is.State == des.Stopping,
		Ready: is.Ready, Up: is.State == des.Running, Failure: s.failed[t]}
	if sight.Gone && is.Error != "" && sight.Failure == "" {
		sight.Failure = is.Name + ": " + is.Error
	}
	return sight
}

// Begin starts a task. One that dies is followed by what the simulator is told last.
func (s *service) Begin(slot int, spec cluster.Service, held bool) (task, error) {
	start, back := s.c.sim.StartTask, func() error { return nil }
	if held {
		if err := s.c.tell(spec); err != nil {
			return 0, err
		}
		start, back = s.c.sim.StartTaskBeside, func() error { return s.c.tell(s.spec) }
	}
	id, err := start(s.spec.Name, slot)
	if err != nil {
		return 0, err
	}
	t := task(id + 1)
	s.tasks[t] = spec
	if why, failAt := spec.NeverHealthy(); why != "" {
		s.failing = append(s.failing, failing{t, s.c.sim.Now() + s.c.config.Costs.TaskStart + failAt, why})
	}
	return t, back()
}

// Stop tells a task to stop.
func (s *service) Stop(t task) {
	slot := s.c.sim.Task(t.id()).Slot
	s.stopped[slot] = t
	s.touched = append(s.touched, slot)                             // it may have been told to before
	_ = s.c.sim.StopTask(t.id(), des.Stop{Grace: s.spec.StopGrace}) // it is one that was started
}

// Give gives up the successor that a slot waits for: the simulator knows which task has it.
func (s *service) Give(slot int, _ task) {
	s.touched = append(s.touched, slot)
	s.c.sim.CancelRestart(s.spec.Name, slot)
}

// Turn changes the set that is in rotation.
func (s *service) Turn(to map[int]task) {
	var join, leave []int
	for _, slot := range s.Places() {
		if t := s.Current(slot); t != 0 && t != to[slot] {
			leave = append(leave, t.id())
		}
		s.Give(slot, to[slot])
		join = append(join, to[slot].id())
	}
	s.c.sim.Turn(join, leave)
}

// Fill starts and stops tasks until there are as many as there shall be.
func (s *service) Fill() error {
	before := map[int]task{}
	for _, slot := range s.Places() {
		before[slot] = s.Current(slot)
	}
	err := s.c.sim.Scale(s.spec.Name, s.spec.Replicas, des.Stop{Grace: s.spec.StopGrace})
	for _, slot := range s.Places() {
		if t := s.Current(slot); t != before[slot] {
			s.tasks[t] = s.spec
		}
	}
	return err
}
