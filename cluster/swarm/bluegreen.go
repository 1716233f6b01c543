package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/observe"
	"coinbench/history"
)

// switchOver replaces a service's tasks by a second set beside them, which is another service of the engine:
//
//	old set   |in rotation ............................|kept, out of rotation ....|removed
//	new set          |started ... all are healthy|switch|in rotation, watched ....|confirmed
//
// The switch is one word to the gateway in front: what has begun ends where it is, and all that begins later goes to the new set.
// A new task that fails before the switch, or more than Rollout.MaxFailureRatio of them within Rollout.Monitor after it, undoes it: the old
// set never stopped.
func (c *Cluster) switchOver(ctx context.Context, s *service, after cluster.Service) error {
	fault := func(err error) error { return fmt.Errorf("update %s: %w", s.name, err) }
	c.mu.Lock()
	before, leftover, order := s.spec, s.beside, slices.Index(c.services, s)
	c.mu.Unlock()
	if s.colour == "" {
		return fault(errors.New("blue-green needs a gateway in front of the service, by which it is switched: set gateway: true in its deploy " +
			"step, or deploy.labels coinbench.gateway: \"true\" in the Compose file, and deploy anew"))
	}
	if leftover != "" { // of an update that was cut off
		if err := c.retire(ctx, s); err != nil {
			return fault(err)
		}
	}
	c.mu.Lock()
	r := after.Update
	twin := &service{name: s.name, spec: after, previous: &before, mode: s.mode, force: s.force, colour: otherColour(s.colour)}
	c.settle(twin)
	after = twin.spec
	spec := c.describe(twin, order)
	c.emit(history.RolloutBegin, s.name, "", "strategy", string(cluster.BlueGreen), "order", "start-first", "tasks",
		strconv.Itoa(before.Replicas))
	c.mu.Unlock()
	var made client.ServiceCreateResult
	err := c.retried(ctx, func(ctx context.Context) (err error) {
		made, err = c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: spec})
		return err
	})
	if err != nil {
		return fault(err)
	}
	c.mu.Lock()
	s.beside = made.ID
	c.mu.Unlock()
	c.pollNow()
	undone := func(reason string) error {
		err := c.retire(ctx, s)
		c.mu.Lock()
		s.spec = before
		c.emit(history.RolloutEnd, s.name, "", "state", string(cluster.RolledBack), "reason", reason)
		c.mu.Unlock()
		if err != nil {
			return fault(err)
		}
		return &cluster.RolloutError{Service: s.name, Outcome: cluster.RolledBack, Reason: reason}
	}

	failed, last, err := c.replaced(ctx, s, made.ID, c.allowance(s), before.Replicas, 0)
	if ctx.Err() != nil {
		return fault(context.Cause(ctx))
	}
	if err != nil {
		return undone(err.Error())
	}
	if failed > 0 {
		return undone(fmt.Sprintf("%d of %d tasks failed, last %s", failed, before.Replicas, last))
	}
	if err := c.route(ctx, s, twin.colour); err != nil {
		return undone(err.Error())
	}
	c.mu.Lock()
	s.spec, s.previous = after, &before
	c.turn(s)
	c.mu.Unlock()
	if err := c.keep(ctx, s, true); err != nil {
		c.warn("the old set of %s could not be marked as one that was switched away from: %v", s.name, err)
	}
	failed, last, _ = c.replaced(ctx, s, made.ID, r.Monitor, -1, r.Tolerated(before.Replicas))
	if ctx.Err() != nil {
		return fault(context.Cause(ctx))
	}
	if failed > r.Tolerated(before.Replicas) {
		if err := c.route(ctx, s, otherColour(twin.colour)); err != nil {
			return fault(err)
		}
		c.mu.Lock()
		c.turn(s)
		s.previous = nil
		c.mu.Unlock()
		if err := c.keep(ctx, s, false); err != nil {
			c.warn("the old set of %s could not be marked as the one in rotation: %v", s.name, err)
		}
		return undone(fmt.Sprintf("%d of %d tasks failed, last %s", failed, before.Replicas, last))
	}
	if err := c.retire(ctx, s); err != nil {
		return fault(err)
	}
	if err := c.await(ctx, s, "update"); err != nil {
		return err
	}
	names := c.names(ctx, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emit(history.RolloutEnd, s.name, "", "state", string(cluster.Completed))
	c.emit(history.ServiceUpdated, s.name, "", append(s.inForce(), names...)...)
	return nil
}

// replaced waits until so many tasks of a set are ready (-1: for the whole time), or more than most of them have failed, at most for a
// time, the end of which is an error where a number of tasks is asked for. It says how many have failed, and how the last of them did.
func (c *Cluster) replaced(ctx context.Context, s *service, set string, d time.Duration, tasks, most int) (failed int, last string,
	err error) {
	over := errors.New("the time is over")
	ctx, cancel := context.WithTimeoutCause(ctx, d, over)
	defer cancel()
	var ready int
	var removed bool
	err = c.until(ctx, func(seen observe.State) bool {
		ready, failed, last = seen.Set(set)
		removed = s.removed
		return removed || failed > most || tasks >= 0 && ready >= tasks
	})
	switch {
	case removed:
		err = errRemoved
	case errors.Is(err, over) && tasks < 0:
		err = nil
	case errors.Is(err, over):
		err = fmt.Errorf("%d of %d new tasks are ready after %s", ready, tasks, d)
	}
	return failed, last, err
}

// turn notes that the set beside is in rotation now, and the one that was is beside. The caller holds mu.
func (c *Cluster) turn(s *service) {
	s.id, s.beside, s.colour = s.beside, s.id, otherColour(s.colour)
	c.advance(c.seen.Switch(s.observed(), s.colour))
}

// keep marks, for whoever finds it after this process was killed, whether the set beside is one that was switched away from; its
// tasks do not notice.
func (c *Cluster) keep(ctx context.Context, s *service, kept bool) error {
	mark := func(id string, kept bool) error {
		return c.changeSet(ctx, id, func(spec *swarm.ServiceSpec) {
			delete(spec.Labels, keptLabel)
			if kept {
				spec.Labels[keptLabel] = "true"
			}
		})
	}
	if kept {
		return mark(s.beside, true)
	}
	return mark(s.id, false)
}

// retire removes the set beside and waits until its tasks are gone.
func (c *Cluster) retire(ctx context.Context, s *service) error {
	c.mu.Lock()
	id := s.beside
	c.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), c.allowance(s),
		errors.New("the tasks of the other set have not ended"))
	defer cancel()
	if err := c.discardSet(ctx, id); err != nil {
		return err
	}
	since := c.state().Looks
	return c.until(ctx, func(seen observe.State) bool {
		if c.askedSince(since) != nil || len(seen.Present(func(t observe.Task) bool { return t.Set == id })) > 0 {
			return false
		}
		s.beside, s.note = "", ""
		return true
	})
}

// discardSet removes a service of the engine; that it is gone already is no error.
func (c *Cluster) discardSet(ctx context.Context, id string) error {
	err := c.retried(ctx, func(ctx context.Context) error {
		_, err := c.engine.ServiceRemove(ctx, id, client.ServiceRemoveOptions{})
		return err
	})
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return err
}
