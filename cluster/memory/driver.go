package memory

import (
	"context"
	"fmt"
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
	control.SlotTable[*task]
	c     *Cluster
	turns map[string]int // of each client
}

func (c *Cluster) newService(spec cluster.Service) (*service, error) {
	s := &service{c: c, Bell: control.NewBell(), turns: map[string]int{}}
	s.SlotTable = control.SlotTable[*task]{Sets: control.Sets[*task]{Hands: s, Lock: &c.mu}, Numbers: c.numbers, Bell: s.Bell, Wanted: spec,
		New: s.newTask}
	s.Service = control.New(s, rollout.State{Spec: spec}, "look at its environment and health check", c.outbox.Put)
	return s, nil
}

func (s *service) newTask(name string, slot int, spec cluster.Service, held bool) (*task, func(), error) {
	t := &task{s: s, name: name, slot: slot, spec: spec, state: cluster.Starting, held: held, gone: make(chan struct{})}
	if i := cluster.ParseImage(spec.Image); i.Coinbench() {
		var err error
		if t.set, err = settings.Parse(i.Kind, spec.Effective()); err != nil {
			return nil, nil, err
		}
	}
	return t, t.start, nil
}

// What follows is control.Driver's, but for what Bell and SlotTable do.

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
	s.Wanted.Replicas = replicas
	return s.Fill()
}

// What follows is control.Hands', but for what SlotTable does.

func (s *service) Look(t *task) control.Sight {
	return control.Sight{Spec: t.spec, Stopping: t.state == cluster.Stopping || t.over(), Gone: t.over(), Ready: t.ready, Up: t.joined,
		Failure: t.failure, Task: cluster.Task{Name: t.name, Service: s.Wanted.Name, Slot: t.slot, Node: "memory", Image: t.spec.Image,
			State: t.state, Address: t.address()}}
}

func (s *service) Stop(t *task) {
	if t.leave(); s.Look(t).Stopping {
		return
	}
	t.state = cluster.Stopping
	t.emit(event.TaskStopping{})
	if t.set.OnSIGTERM != settings.Ignore || t.after(t.spec.StopGrace, func() { t.end("") }) == nil {
		t.end("")
	}
}

func (s *service) Turn(to map[int]*task) {
	for _, slot := range s.Places() {
		if old := s.Current(slot); old != nil {
			old.leave()
		}
		s.Give(slot, to[slot])
		if t := to[slot]; t != nil && !t.over() {
			t.enter()
		}
	}
}
