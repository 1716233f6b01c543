package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/history"
)

// Scale sets the replicas of a service.
func (c *Cluster) Scale(ctx context.Context, service string, replicas int) error {
	s, release, err := c.begin(ctx, service)
	if err != nil {
		return fmt.Errorf("scale %s: %w", service, err)
	}
	defer release()
	c.mu.Lock()
	from, global := s.spec.Replicas, s.spec.Global
	c.mu.Unlock()
	switch {
	case replicas < 0:
		return fmt.Errorf("scale %s: %d replicas; accepted: a number, at least 0", service, replicas)
	case global:
		return fmt.Errorf("scale %s: the service is global, one task a node", service)
	}
	c.mu.Lock()
	s.spec.Replicas = replicas
	label := encoded(s.spec)
	c.mu.Unlock()
	err = c.change(ctx, s, func(spec *swarm.ServiceSpec) {
		n := uint64(replicas)
		spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &n}
		spec.Labels[serviceLabel] = label
	})
	if err != nil {
		c.mu.Lock()
		s.spec.Replicas = from
		c.mu.Unlock()
		return fmt.Errorf("scale %s: %w", service, err)
	}
	if err := c.await(ctx, s, "scale"); err != nil {
		return err
	}
	names := c.names(ctx, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emit(history.ServiceScaled, service, "", append([]string{"from", strconv.Itoa(from), "to", strconv.Itoa(replicas)}, names...)...)
	return nil
}

// Update changes a service by the engine's rolling update.
func (c *Cluster) Update(ctx context.Context, service string, change cluster.Change) error {
	s, release, err := c.begin(ctx, service)
	if err != nil {
		return fmt.Errorf("update %s: %w", service, err)
	}
	defer release()
	c.mu.Lock()
	before := s.spec
	c.mu.Unlock()
	after, err := before.Changed(change)
	if err == nil {
		err = c.checkChange(before, after)
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", service, err)
	}
	return c.move(ctx, s, after, false, false)
}

// Rollback undoes the last update.
func (c *Cluster) Rollback(ctx context.Context, service string) error {
	s, release, err := c.begin(ctx, service)
	if err != nil {
		return fmt.Errorf("roll %s back: %w", service, err)
	}
	defer release()
	c.mu.Lock()
	before, previous := s.spec, s.previous
	c.mu.Unlock()
	if previous == nil {
		return fmt.Errorf("roll %s back: it was not updated since it was deployed", service)
	}
	after := *previous
	after.Replicas = before.Replicas
	return c.move(ctx, s, after, true, false)
}

// Restart replaces every task of a service by a rolling update that changes nothing.
func (c *Cluster) Restart(ctx context.Context, service string) error {
	s, release, err := c.begin(ctx, service)
	if err != nil {
		return fmt.Errorf("restart %s: %w", service, err)
	}
	defer release()
	c.mu.Lock()
	spec := s.spec
	c.mu.Unlock()
	return c.move(ctx, s, spec, false, true)
}

// move makes a service what it shall be.
func (c *Cluster) move(ctx context.Context, s *service, after cluster.Service, ofRollback, force bool) error {
	c.mu.Lock()
	before, previous, mode := s.spec, s.previous, s.mode
	dirty := force || !before.SameTasks(after)
	was := before
	s.spec, s.previous = after, &was
	c.settle(s)
	if force {
		s.force++
	}
	rules := after.Update
	if ofRollback {
		rules = after.Rollback
	}
	spec := c.describe(s, slices.Index(c.services, s))
	spec.UpdateConfig = rollout(rules)
	detail := []string{"parallelism", strconv.Itoa(rules.Parallelism), "delay", rules.Delay.String(), "order", rules.Order}
	if ofRollback {
		detail = append(detail, "rollback", "true")
	}
	// What the engine does by itself when an update fails is an update back to this.
	undo := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.spec, s.previous, s.mode = before, previous, mode
	}
	same := mode == s.mode && !dirty && before.Update == after.Update
	if dirty {
		c.emit(history.RolloutBegin, s.name, "", detail...)
	}
	c.mu.Unlock()
	if !same {
		old, err := c.updateStatus(ctx, s)
		if err == nil {
			err = c.change(ctx, s, func(to *swarm.ServiceSpec) { *to = spec })
		}
		if err != nil {
			undo()
			return fmt.Errorf("update %s: %w", s.name, err)
		}
		if dirty {
			rolledOut := c.rollout(ctx, s, old, rules)
			var refused *cluster.RolloutError
			switch {
			case errors.As(rolledOut, &refused):
				if refused.Outcome == cluster.RolledBack {
					undo()
				}
				c.mu.Lock()
				c.emit(history.RolloutEnd, s.name, "", "state", string(refused.Outcome))
				c.mu.Unlock()
				return rolledOut
			case rolledOut != nil:
				return fmt.Errorf("update %s: %w", s.name, rolledOut)
			}
		}
		if err := c.await(ctx, s, "update"); err != nil {
			return err
		}
		if ofRollback { // its own rules were for this once
			if err := c.change(ctx, s, func(to *swarm.ServiceSpec) { to.UpdateConfig = rollout(after.Update) }); err != nil {
				return fmt.Errorf("update %s: %w", s.name, err)
			}
		}
		if dirty {
			c.mu.Lock()
			c.emit(history.RolloutEnd, s.name, "", "state", string(cluster.Completed))
			c.mu.Unlock()
		}
	}
	names := c.names(ctx, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emit(history.ServiceUpdated, s.name, "", append(s.inForce(), names...)...)
	return nil
}

// updateStatus is what the engine says of a service's last update; zero: there was none.
func (c *Cluster) updateStatus(ctx context.Context, s *service) (status swarm.UpdateStatus, err error) {
	err = c.retried(ctx, func(ctx context.Context) error {
		found, err := c.engine.ServiceInspect(ctx, s.id, client.ServiceInspectOptions{})
		if err == nil && found.Service.UpdateStatus != nil {
			status = *found.Service.UpdateStatus
		}
		return err
	})
	return status, err
}

// rollout follows the engine's rolling update to its end. old is the status of the update before: one that began when that
// one did says nothing of this.
func (c *Cluster) rollout(ctx context.Context, s *service, old swarm.UpdateStatus, rules cluster.Rollout) error {
	c.mu.Lock()
	replicas := s.spec.Replicas
	c.mu.Unlock()
	if replicas == 0 {
		return nil
	}
	stall := c.allowance(s) + rules.Delay + rules.Monitor
	moved, before := time.Now(), ""
	back := false
	for {
		status, err := c.updateStatus(ctx, s)
		if err != nil {
			return err
		}
		if status.StartedAt == nil || old.StartedAt != nil && status.StartedAt.Equal(*old.StartedAt) {
			status = swarm.UpdateStatus{}
		}
		switch status.State {
		case swarm.UpdateStateCompleted:
			return nil
		case swarm.UpdateStatePaused:
			return &cluster.RolloutError{Service: s.name, Outcome: cluster.Paused, Reason: c.reason(s, status.Message)}
		case swarm.UpdateStateRollbackPaused:
			return &cluster.RolloutError{Service: s.name, Outcome: cluster.RolledBack, Reason: c.reason(s, "then the rollback was paused: "+status.Message)}
		case swarm.UpdateStateRollbackCompleted:
			if err := c.await(ctx, s, "roll back"); err != nil {
				return err
			}
			return &cluster.RolloutError{Service: s.name, Outcome: cluster.RolledBack, Reason: c.reason(s, status.Message)}
		case swarm.UpdateStateRollbackStarted:
			if !back {
				back = true
				c.mu.Lock()
				r := s.spec.Rollback
				c.emit(history.RolloutBegin, s.name, "", "parallelism", strconv.Itoa(r.Parallelism), "delay", r.Delay.String(), "order", r.Order, "rollback", "true")
				c.mu.Unlock()
			}
		}
		c.mu.Lock()
		now := string(status.State)
		for _, t := range c.live(s) {
			now += t.name + string(t.state) + string(t.desired)
		}
		news := c.news
		c.mu.Unlock()
		if now != before {
			moved, before = time.Now(), now
		}
		if time.Since(moved) > stall {
			c.mu.Lock()
			_, missing := c.missing(s, 0)
			c.mu.Unlock()
			return errors.Join(fmt.Errorf("nothing moved for %s", stall), missing)
		}
		timer := time.NewTimer(slowPoll)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
}

// reason says why an update did not go through: the engine's own words, and how the last task failed.
func (c *Cluster) reason(s *service, message string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	message = strings.TrimSpace(message)
	if last := c.lastFault(s, 0); last != "" {
		message += "; last, " + last
	}
	return message
}
