package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"coinbench/cluster"
	"coinbench/history"
)

// switchOver replaces a service's tasks (blue) by a second set (green):
//
//	blue   |in rotation ............................|kept out of rotation ....|told to stop
//	green         |started ... all are healthy|switch|in rotation, watched ....|confirmed
//
// The switch is one change of the virtual address' rotation: connections that were made stay where they are, and every later one goes
// to green. A green that fails before the switch, or more than Rollout.MaxFailureRatio of them within Rollout.Monitor after it, undoes it:
// blue never stopped.
func (c *Cluster) switchOver(ctx context.Context, s *service, r cluster.Rollout, after cluster.Service, pull time.Duration) (cluster.Outcome, string, error) {
	b := &blueGreen{s: s, before: s.spec, after: after, greens: map[int]*task{}, blues: map[int]*task{}}
	c.mu.Lock()
	slots := slices.Sorted(maps.Keys(s.slots))
	c.emit(history.RolloutBegin, s.name, "", "strategy", string(cluster.BlueGreen), "order", "start-first", "tasks", strconv.Itoa(len(slots)))
	c.mu.Unlock()
	if pull > 0 {
		if err := c.Sleep(ctx, pull); err != nil {
			return "", "", err
		}
	}
	c.mu.Lock()
	if s.life.Err() != nil {
		c.mu.Unlock()
		return "", "", errRemoved
	}
	for _, n := range slots {
		if pull > 0 {
			c.emit(history.TaskPulled, s.name, s.successor(n))
		}
		b.greens[n] = s.begin(s.slots[n], after, true)
	}
	c.mu.Unlock()

	failure, err := b.until(ctx, c.allowance(s), true, func() bool { return b.ready() })
	if err != nil || failure != "" {
		b.stop(b.greens)
		if err == nil {
			err = b.gone(ctx, b.greens)
		}
		return cluster.RolledBack, failure, err
	}
	b.turn(b.greens, "green")
	failure, err = b.until(ctx, r.Monitor, false, func() bool { return b.tooMany(r) })
	if err != nil {
		return "", "", err
	}
	if b.tooMany(r) {
		b.turn(b.blues, "blue")
		b.stop(b.greens)
		return cluster.RolledBack, failure, b.gone(ctx, b.greens)
	}
	b.stop(b.blues)
	return cluster.Completed, "", c.await(ctx, s, "update")
}

// blueGreen are the two sets of tasks. What is in them belongs to the cluster's mutex.
type blueGreen struct {
	s             *service
	before, after cluster.Service
	greens, blues map[int]*task // by slot
}

// failures counts the greens that failed and says how the last one did. The caller holds mu.
func (b *blueGreen) failures() (n int, last string) {
	for _, slot := range slices.Sorted(maps.Keys(b.greens)) {
		if t := b.greens[slot]; t.err != nil {
			n, last = n+1, t.epitaph()
		}
	}
	return n, last
}

func (b *blueGreen) tooMany(r cluster.Rollout) bool {
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	n, _ := b.failures()
	return float64(n) > r.MaxFailureRatio*float64(len(b.greens))
}

// ready says whether all greens could be in rotation, or one never will.
func (b *blueGreen) ready() bool {
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	if n, _ := b.failures(); n > 0 {
		return true
	}
	for _, t := range b.greens {
		if !t.ready {
			return false
		}
	}
	return true
}

// until waits for a condition, at most for a time, of which must says whether its end is an error.
func (b *blueGreen) until(ctx context.Context, d time.Duration, must bool, condition func() bool) (failure string, err error) {
	c := b.s.c
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		news := c.news
		n, last := b.failures()
		c.mu.Unlock()
		if n > 0 {
			failure = fmt.Sprintf("%d of %d tasks failed, last %s", n, len(b.greens), last)
		}
		if condition() {
			return failure, nil
		}
		select {
		case <-news:
		case <-b.s.life.Done():
			return failure, errRemoved
		case <-ctx.Done():
			return failure, context.Cause(ctx)
		case <-deadline.C:
			if must {
				return failure, errors.New("the new tasks are not all healthy within " + d.String())
			}
			return failure, nil
		}
	}
}

// turn makes a set the one that is in rotation, and the tasks of its slots.
func (b *blueGreen) turn(to map[int]*task, colour string) {
	s, c := b.s, b.s.c
	settled := make(chan struct{})
	c.mu.Lock()
	if len(b.blues) == 0 {
		for n, sl := range s.slots {
			if sl.current != nil {
				b.blues[n] = sl.current
			}
		}
	}
	s.spec = b.after
	if colour == "blue" {
		s.spec = b.before
	}
	s.spec.Replicas = len(s.slots)
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
	c.emit(history.RolloutSwitch, s.name, "", "to", colour)
	for _, n := range slices.Sorted(maps.Keys(to)) {
		sl := s.slots[n]
		if sl == nil {
			continue
		}
		sl.cancel()
		if from := sl.current; from != nil && from.inRotation {
			from.inRotation = false
			c.emit(history.TaskLeft, s.name, from.name)
		}
		sl.current, sl.givenUp = to[n], nil
		if !to[n].over {
			to[n].enter()
		}
	}
	c.mu.Unlock()
	select {
	case <-settled:
	case <-time.After(time.Second): // as in task.leave
	}
}

// stop tells a set to stop.
func (b *blueGreen) stop(set map[int]*task) {
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(set)) {
		set[n].askStop()
	}
}

// gone waits until a set has ended.
func (b *blueGreen) gone(ctx context.Context, set map[int]*task) error {
	for _, t := range set {
		select {
		case <-t.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
