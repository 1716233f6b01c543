package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/observe"
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
		return fmt.Errorf("scale %s: %s", service, cluster.GlobalNumber(service, replicas))
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

// Strategies lists all. Blue-green is for services with a gateway in front.
func (c *Cluster) Strategies() []cluster.Strategy { return cluster.Strategies() }

// NeedsGateway says that blue-green needs cluster.Service.Gateway here.
func (c *Cluster) NeedsGateway() bool { return true }

// movement is how a service becomes what it shall be.
type movement struct {
	change     cluster.Change // its fields that are of one update only
	ofRollback bool
	force      bool // replace tasks that are as wished already
}

// part is how many of n replicas the update shall replace; 0: all.
func (m movement) part(n int) int {
	if k := len(m.change.Slots); k < n {
		return k
	}
	return 0
}

// Update changes a service by the engine's rolling update, or by the change's strategy. Where the change names slots, so many are
// replaced, and the engine chooses which.
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
	if change.Strategy == cluster.BlueGreen && !before.SameTasks(after) {
		return c.switchOver(ctx, s, after)
	}
	return c.move(ctx, s, after, movement{change: change})
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
	return c.move(ctx, s, after, movement{ofRollback: true})
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
	return c.move(ctx, s, spec, movement{force: true})
}

// held is the delay after the slots of an update that replaces some tasks only: until the next update takes its place.
const held = 24 * time.Hour

// move makes a service what it shall be.
func (c *Cluster) move(ctx context.Context, s *service, after cluster.Service, how movement) error {
	c.mu.Lock()
	before, previous, mode := s.spec, s.previous, s.mode
	part := how.part(before.Replicas)
	// An update to what is wished already goes on with one that has replaced some tasks: it is the same update to a rollback.
	goesOn := s.partial && before.SameTasks(after) && !how.ofRollback
	dirty := how.force || goesOn || !before.SameTasks(after)
	was := before
	s.spec = after
	if !goesOn {
		s.previous = &was
	}
	c.settle(s)
	if how.force {
		s.force++
	}
	rules := after.Update
	if how.ofRollback {
		rules = after.Rollback
	}
	spec := c.describe(s, slices.Index(c.services, s))
	strategy := cmp.Or(how.change.Strategy, cluster.RollingUpdate)
	spec.UpdateConfig = rollout(c.lanes(rules, part, before.Replicas, goesOn))
	detail := []string{"strategy", string(strategy), "parallelism", strconv.Itoa(rules.Parallelism), "delay", rules.Delay.String(), "order",
		rules.Order,
		"tasks", strconv.Itoa(cmp.Or(part, before.Replicas))}
	if how.ofRollback {
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
		if dirty && strategy == cluster.Batched {
			if err := c.fetch(ctx, s, after); err != nil {
				undo()
				return fmt.Errorf("update %s: %w", s.name, err)
			}
		}
		c.mu.Lock()
		following := c.seen.Follow(s.observed(), rules, part, time.Now())
		c.mu.Unlock()
		err := c.change(ctx, s, func(to *swarm.ServiceSpec) { *to = spec })
		if err != nil {
			undo()
			return fmt.Errorf("update %s: %w", s.name, err)
		}
		c.mu.Lock()
		following = following.Told(c.seen)
		c.mu.Unlock()
		if dirty {
			rolledOut := c.rollout(ctx, s, following, rules)
			var refused *cluster.RolloutError
			switch {
			case errors.As(rolledOut, &refused):
				if goesOn && refused.Outcome == cluster.Paused && rules.FailureAction == "rollback" {
					rolledOut = c.goBack(ctx, s, refused)
				} else if refused.Outcome == cluster.RolledBack {
					undo()
				}
				c.mu.Lock()
				s.partial = false
				c.emit(history.RolloutEnd, s.name, "", "state", string(refused.Outcome), "reason", refused.Reason)
				c.mu.Unlock()
				return rolledOut
			case rolledOut != nil:
				return fmt.Errorf("update %s: %w", s.name, rolledOut)
			}
		}
		if err := c.await(ctx, s, "update"); err != nil {
			return err
		}
		if how.ofRollback { // its own rules were for this once
			if err := c.change(ctx, s, func(to *swarm.ServiceSpec) { to.UpdateConfig = rollout(after.Update) }); err != nil {
				return fmt.Errorf("update %s: %w", s.name, err)
			}
		}
		c.mu.Lock()
		s.partial, s.note = dirty && part > 0, ""
		if dirty {
			c.emit(history.RolloutEnd, s.name, "", "state", string(cluster.Completed))
		}
		c.mu.Unlock()
	}
	names := c.names(ctx, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emit(history.ServiceUpdated, s.name, "", append(s.inForce(), names...)...)
	return nil
}

// lanes are the rules that the engine is given. It cannot be told to replace some of the tasks, but it can be told to wait after them,
// until another update takes this one's place. What it would roll back to is what the service was before its last update, which of
// one that goes on is the same: it pauses instead, and is moved back.
func (c *Cluster) lanes(r cluster.Rollout, part, replicas int, goesOn bool) cluster.Rollout {
	if part > 0 {
		r.Parallelism, r.Delay = part, held
		r.MaxFailureRatio = float64(float32(r.Tolerated(part)) / float32(replicas)) // the engine counts failures against all
	}
	if goesOn && r.FailureAction == "rollback" {
		r.FailureAction = "pause"
	}
	return r
}

// goBack moves a service back to what it was before an update in two parts, the second of which has failed.
func (c *Cluster) goBack(ctx context.Context, s *service, refused *cluster.RolloutError) error {
	c.mu.Lock()
	back := *s.previous
	back.Replicas = s.spec.Replicas
	c.mu.Unlock()
	if err := c.move(ctx, s, back, movement{ofRollback: true}); err != nil {
		refused.Reason += "; then the rollback failed: " + err.Error()
	}
	refused.Outcome = cluster.RolledBack
	return refused
}

// rollout follows the engine's rolling update to its end.
func (c *Cluster) rollout(ctx context.Context, s *service, following observe.Rollout, rules cluster.Rollout) error {
	stall := c.allowance(s) + rules.Delay + rules.Watch()
	var p observe.Progress
	for p.Outcome == "" {
		c.mu.Lock()
		if s.spec.Replicas == 0 {
			c.mu.Unlock()
			return nil
		}
		var events []history.Event
		now := time.Now()
		following, p, events = following.Step(c.seen, now)
		for _, e := range events {
			c.send(e)
		}
		_, missing := c.seen.Missing(s.observed(), now)
		changed := c.changed
		c.mu.Unlock()
		if p.Outcome == "" && now.Sub(p.Moved) > stall {
			return errors.Join(fmt.Errorf("nothing moved for %s", stall), missing)
		}
		timer := time.NewTimer(slowPoll)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
	if p.Outcome == cluster.Completed {
		return nil
	}
	if p.Converge {
		if err := c.await(ctx, s, "roll back"); err != nil {
			return err
		}
	}
	return &cluster.RolloutError{Service: s.name, Outcome: p.Outcome, Reason: p.Reason}
}
