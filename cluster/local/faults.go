package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
	"coinbench/history/event"
)

// Pause freezes a replica for a time.
func (c *Cluster) Pause(_ context.Context, service string, slot int, d time.Duration) error {
	t, err := c.running(service, slot)
	if err != nil {
		return fmt.Errorf("pause %s.%d: %w", service, slot, err)
	}
	if err := freeze(t.process, true); err != nil {
		return fmt.Errorf("pause %s: %w", t.name, err)
	}
	defer c.outbox.Flush()
	t.suffer(d, func() { _ = freeze(t.process, false) }, event.TaskPaused{For: d})
	return nil
}

// Slow makes the way to a replica slow for a time.
func (c *Cluster) Slow(_ context.Context, service string, slot int, delay, d time.Duration) error {
	t, err := c.running(service, slot)
	if err == nil && t.backend == nil {
		err = fmt.Errorf("%s has no port", service)
	}
	if err != nil {
		return fmt.Errorf("slow %s.%d: %w", service, slot, err)
	}
	t.s.rotation.slow(t.backend, delay)
	defer c.outbox.Flush()
	t.suffer(d, func() { t.s.rotation.slow(t.backend, 0) }, event.TaskSlowed{For: d, Delay: delay})
	return nil
}

// running is the task of a slot that can be made to suffer.
func (c *Cluster) running(service string, slot int) (*task, error) {
	s, err := c.app.Lookup(service)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := s.alive(slot)
	if err == nil && !t.inRotation {
		err = errNone
	}
	return t, err
}

var errNone = errors.New("no task of it runs now")

// alive is the task of a slot whose process lives, and shall live. The caller holds mu.
func (s *service) alive(slot int) (*task, error) {
	if s.isRedis {
		return nil, cluster.ErrServed
	}
	if slot < 1 || slot > s.Wanted.Replicas {
		return nil, fmt.Errorf("the service has %d replicas; accepted: a slot from 1 to %d", s.Wanted.Replicas, s.Wanted.Replicas)
	}
	t := s.Current(slot)
	if t == nil || t.over || t.process == nil || t.stopRequested || t.fault != nil {
		return nil, errNone
	}
	return t, nil
}

// suffer writes a fault down, and its end after a time, when it is undone.
func (t *task) suffer(d time.Duration, undo func(), fault event.Payload) {
	c := t.c
	c.mu.Lock()
	c.emit(t.s.name, t.name, fault)
	c.mu.Unlock()
	c.wg.Go(func() {
		select {
		case <-time.After(d):
		case <-t.gone:
			return
		case <-t.s.life.Done():
			undo() // a process that is frozen cannot obey
			return
		}
		undo()
		c.mu.Lock()
		c.emit(t.s.name, t.name, event.TaskRecovered{})
		c.mu.Unlock()
	})
}
