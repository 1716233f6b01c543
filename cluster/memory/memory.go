// Package memory is a cluster in memory: its tasks are values and their lives are timers, so that in a bubble of testing/synctest minutes
// pass at once. Tests play scenarios on it, and it is the least that a cluster with package control has to be.
//
// It has no queues, no processors and no network. A worker's loop takes its think time and the delays of what it calls, however many call;
// Dial alone leads to its services from outside, which say who they are and answer at once, unless they were paused or slowed.
package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/history"
	"coinbench/history/event"
)

// Cluster is the cluster.
type Cluster struct {
	cluster.RealTime
	control.Changes
	start  time.Time
	outbox *control.Outbox

	mu      sync.Mutex
	app     control.App[*service]
	numbers map[string]int // tasks so far of each slot
}

// New returns a cluster with nothing deployed, whose events and readings count from now.
func New(sink cluster.Sink) *Cluster {
	c := &Cluster{start: time.Now(), outbox: control.NewOutbox(sink, time.Now()), numbers: map[string]int{}}
	c.app.Lock = &c.mu
	c.Changes = c.app.Changes(c.outbox.Flush)
	return c
}

// Name is memory.
func (c *Cluster) Name() string { return "memory" }

func (c *Cluster) emit(service, task string, p event.Payload) {
	c.outbox.Put(history.NewEvent(service, task, p))
}

// Check says whether the app can be played; all faults at once.
func (c *Cluster) Check(app cluster.App) error {
	var faults []error
	for _, s := range app.Services {
		faults = append(faults, app.CheckService(s, "the cluster in memory has no %s; leave the key out")...)
		if !cluster.ParseImage(s.Image).Own || len(s.Constraints) > 0 || s.Balance == cluster.LeastConnections {
			faults = append(faults, app.ServiceFault(s.Name, "", fmt.Sprintf("the cluster in memory runs no image, has one node and "+
				"counts no connections: image %s, constraints %q, balance %s", s.Image, s.Constraints, s.Balance), cluster.OwnImages))
		}
	}
	return errors.Join(faults...)
}

// Deploy brings the app up.
func (c *Cluster) Deploy(ctx context.Context, app cluster.App) error {
	defer c.outbox.Flush()
	return c.app.Deploy(ctx, app, c.Check, c.newService)
}

// Remove takes everything down, and leaves what ignores SIGTERM no grace.
func (c *Cluster) Remove(context.Context) error {
	defer c.outbox.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Backward(c.app.Services) {
		s.Abandon()
		for _, t := range slices.Clone(s.Tasks) {
			s.Stop(t)
			t.end("")
		}
		s.Ring(errors.New("the app was removed meanwhile"))
		c.emit(s.Wanted.Name, "", event.ServiceRemoved{})
	}
	c.app.Clear()
	return nil
}

// Status lists the services as they are.
func (c *Cluster) Status(context.Context) (list []cluster.ServiceStatus, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.app.Services {
		list = append(list, s.Status())
	}
	return list, nil
}

// Counters reads what every task has counted.
func (c *Cluster) Counters(context.Context) (readings []history.Reading, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.app.Services {
		for _, t := range s.Tasks {
			readings = append(readings, history.Reading{At: time.Since(c.start), Service: s.Wanted.Name, Task: t.name,
				Values: history.ValuesOf(map[string]float64{
					t.series(): t.counted, history.ProcessCPU: 0})})
		}
	}
	return readings, nil
}

// befall does something to the task of a slot that is in rotation, and undoes it after a time; 0: never.
func (c *Cluster) befall(verb, service string, slot int, fault event.Payload, d time.Duration, do, undo func(t *task)) error {
	defer c.outbox.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.app.Find(service)
	if err != nil {
		return fmt.Errorf("%s %s.%d: %w", verb, service, slot, err)
	}
	t := s.Current(slot)
	if t == nil || t.state != cluster.Running {
		return fmt.Errorf("%s %s.%d: no task of it runs now; the service has %d replicas", verb, service, slot, s.Wanted.Replicas)
	}
	c.emit(service, t.name, fault)
	do(t)
	t.after(d, func() {
		if undo(t); t.state == cluster.Running {
			c.emit(service, t.name, event.TaskRecovered{})
		}
	})
	return nil
}

// Kill ends a replica as by SIGKILL.
func (c *Cluster) Kill(_ context.Context, service string, slot int, fault cluster.Fault) error {
	do := func(t *task) {
		fault.Down = cmp.Or(fault.Down, t.spec.Restart.Delay)
		t.fault = &fault
		t.end("killed")
	}
	return c.befall("kill", service, slot, event.TaskKilled{Down: fault.Down, InRotation: fault.InRotation}, 0, do, func(*task) {})
}

// Pause freezes a replica for a time.
func (c *Cluster) Pause(_ context.Context, service string, slot int, d time.Duration) error {
	do := func(t *task) { t.frozen = time.Now().Add(d) }
	return c.befall("pause", service, slot, event.TaskPaused{For: d}, d, do, func(*task) {})
}

// Slow delays what is asked of a replica for a time.
func (c *Cluster) Slow(_ context.Context, service string, slot int, delay, d time.Duration) error {
	return c.befall("slow", service, slot, event.TaskSlowed{For: d, Delay: delay}, d, func(t *task) { t.delay = delay },
		func(t *task) { t.delay = 0 })
}
