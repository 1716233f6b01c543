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

// Update changes a service by a rolling update.
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
		err = s.checkChange(before, after)
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", service, err)
	}
	return c.move(ctx, s, before, after, movement{change: change})
}

// Restart replaces every task by one that is the same.
func (c *Cluster) Restart(ctx context.Context, service string) error {
	s, release, err := c.begin(ctx, service)
	if err != nil {
		return fmt.Errorf("restart %s: %w", service, err)
	}
	defer release()
	if s.isRedis {
		return fmt.Errorf("restart %s: redis is no replica of the local cluster", service)
	}
	c.mu.Lock()
	spec := s.spec
	c.mu.Unlock()
	return c.move(ctx, s, spec, spec, movement{force: true})
}

// Strategies lists all.
func (c *Cluster) Strategies() []cluster.Strategy { return cluster.Strategies() }

// movement is how a service becomes what it shall be.
type movement struct {
	change     cluster.Change // its fields that are of one update only
	ofRollback bool
	force      bool // replace tasks that are as wished already
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
	return c.move(ctx, s, before, after, movement{ofRollback: true})
}

// checkChange says whether the service can become what it shall be.
func (s *service) checkChange(before, after cluster.Service) error {
	was, _ := parseImage(before.Image)
	is, ok := parseImage(after.Image)
	if ok && is.kind != was.kind {
		return fmt.Errorf("image %s is another service than %s; accepted: another tag of coinbench/%s", after.Image, before.Image, was.kind)
	}
	if s.isRedis && !before.SameTasks(after) {
		return errors.New("redis has neither versions nor settings on the local cluster; accepted: balance")
	}
	ports := after.Ports
	after.Ports = nil // a version that listens elsewhere than its published port is a fault worth playing
	defer func() { after.Ports = ports }()
	return errors.Join(checkService(cluster.App{}, after)...)
}

// move makes a service what it shall be.
func (c *Cluster) move(ctx context.Context, s *service, before, after cluster.Service, how movement) error {
	beside := how.change.Strategy == cluster.BlueGreen
	c.mu.Lock()
	if s.life.Err() != nil {
		c.mu.Unlock()
		return fmt.Errorf("update %s: %w", s.name, errRemoved)
	}
	wasClean := len(s.dirtySlots(nil)) == 0
	if !beside {
		s.spec = after
	}
	// An update to what is wished already goes on with one that has replaced some tasks: it is the same update to a rollback.
	if wasClean || how.ofRollback || !before.SameTasks(after) {
		s.previous = &before
	}
	if s.rotation != nil {
		s.rotation.setPolicy(after.Balance)
	}
	clean := len(s.dirtySlots(how.change.Slots)) == 0 && !how.force
	if beside {
		clean = before.SameTasks(after)
	}
	c.mu.Unlock()
	if !clean {
		r := after.Update
		if how.ofRollback {
			r = after.Rollback
		}
		var outcome cluster.Outcome
		var reason string
		var err error
		if beside {
			outcome, reason, err = c.switchOver(ctx, s, r, after, how.change.Pull)
		} else {
			outcome, reason, err = c.roll(ctx, s, r, how)
		}
		if err == nil && outcome == cluster.RolledBack && !beside {
			c.mu.Lock()
			back := before
			back.Replicas = s.spec.Replicas
			s.spec, s.previous = back, nil
			if s.rotation != nil {
				s.rotation.setPolicy(back.Balance)
			}
			c.mu.Unlock()
			var again string
			if outcome, again, err = c.roll(ctx, s, back.Rollback, movement{ofRollback: true}); outcome == cluster.Completed {
				outcome = cluster.RolledBack
			} else if again != "" {
				reason += "; then the rollback was paused: " + again
			}
		}
		if err != nil {
			return fmt.Errorf("update %s: %w", s.name, err)
		}
		if beside && outcome == cluster.RolledBack {
			c.mu.Lock()
			s.previous = nil
			if s.rotation != nil {
				s.rotation.setPolicy(before.Balance)
			}
			c.mu.Unlock()
		}
		detail := []string{"state", string(outcome)}
		if reason != "" {
			detail = append(detail, "reason", reason)
		}
		c.mu.Lock()
		c.emit(history.RolloutEnd, s.name, "", detail...)
		c.mu.Unlock()
		if outcome != cluster.Completed {
			return &cluster.RolloutError{Service: s.name, Outcome: outcome, Reason: reason}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emit(history.ServiceUpdated, s.name, "", s.inForce()...)
	return nil
}

// dirty says whether a slot has no task as its service now wishes it. The caller holds mu.
func (s *service) dirty(sl *slot) bool {
	return sl.current == nil || sl.current.wished || !sl.current.spec.SameTasks(s.spec)
}

// dirtySlots lists the slots whose tasks an update must replace, of those that are asked for; nil: of all. The caller holds mu.
func (s *service) dirtySlots(of []int) (dirty []int) {
	for _, n := range slices.Sorted(maps.Keys(s.slots)) {
		if s.dirty(s.slots[n]) && (of == nil || slices.Contains(of, n)) {
			dirty = append(dirty, n)
		}
	}
	return dirty
}

// roll carries a rolling update out.
func (c *Cluster) roll(ctx context.Context, s *service, r cluster.Rollout, how movement) (cluster.Outcome, string, error) {
	stall := c.allowance(s) + r.Delay + r.Monitor + how.change.Pull
	c.mu.Lock()
	dirty := s.dirtySlots(how.change.Slots)
	if how.force {
		dirty = slices.Sorted(maps.Keys(s.slots))
	}
	strategy := how.change.Strategy
	if strategy == "" {
		strategy = cluster.RollingUpdate
	}
	detail := []string{"strategy", string(strategy), "parallelism", strconv.Itoa(r.Parallelism), "delay", r.Delay.String(), "order", r.Order, "tasks", strconv.Itoa(len(dirty))}
	if how.ofRollback {
		detail = append(detail, "rollback", "true")
	}
	c.emit(history.RolloutBegin, s.name, "", detail...)
	u := &update{s: s, machine: cluster.NewRolling(r, dirty, how.ofRollback), olds: map[int]*task{}, news: map[int]*task{},
		pulls: cluster.NewPulls(how.change.Pull)}
	if strategy == cluster.Batched {
		for _, n := range dirty {
			u.pulls.Begin(n, time.Now())
		}
	}
	c.mu.Unlock()
	patience := time.NewTimer(stall)
	defer patience.Stop()
	for {
		c.mu.Lock()
		if s.life.Err() != nil {
			c.mu.Unlock()
			return "", "", errRemoved
		}
		acted, wake, outcome := u.step(time.Now())
		news := c.news
		switch outcome {
		case "":
		case cluster.RolledBack:
			u.restore()
		default:
			u.fill()
		}
		c.mu.Unlock()
		if outcome == cluster.Completed && len(u.failed) == 0 {
			return outcome, "", c.await(ctx, s, "update")
		}
		if outcome != "" {
			return outcome, u.machine.Reason(), nil
		}
		if acted {
			patience.Reset(stall)
		}
		var alarm <-chan time.Time
		if !wake.IsZero() {
			alarm = time.After(time.Until(wake))
		}
		var err error
		select {
		case <-news:
			continue
		case <-alarm:
			continue
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-patience.C:
			err = fmt.Errorf("nothing moved for %s", stall)
		}
		c.mu.Lock()
		missing, _ := s.missing()
		u.fill()
		c.mu.Unlock()
		return "", "", errors.Join(err, missing)
	}
}

// update is a rolling update that is going on. Everything in it belongs to the cluster's mutex.
type update struct {
	s       *service
	machine *cluster.Rolling
	olds    map[int]*task // by slot: told to stop, or kept until the new one is up
	news    map[int]*task
	failed  []string
	pulls   *cluster.Pulls
	turned  map[int]bool // slots that the rollout has come to
}

// step tells the machine what has happened and does what it says, until there is nothing more to do now.
func (u *update) step(now time.Time) (acted bool, wake time.Time, outcome cluster.Outcome) {
	for {
		more, wake, outcome := u.once(now)
		if !more || outcome != "" {
			return acted, wake, outcome
		}
		acted = true
	}
}

func (u *update) once(now time.Time) (acted bool, wake time.Time, outcome cluster.Outcome) {
	do := func(acts []cluster.Act) {
		for _, a := range acts {
			acted = true
			u.turnTo(a.Slot)
			if !u.pulls.Hold(a, now) {
				u.do(a)
			}
		}
	}
	for _, n := range u.pulls.Ended(now) {
		u.s.c.emit(history.TaskPulled, u.s.name, u.s.successor(n))
		for _, a := range u.pulls.Release(n) {
			acted = true
			u.do(a)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(u.olds)) {
		if old := u.olds[n]; u.news[n] == nil && (old == nil || !slices.Contains(u.s.tasks, old)) {
			do(u.machine.Gone(n))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(u.news)) {
		t := u.news[n]
		if t.joined {
			u.machine.Up(n, now)
		}
		if t.err != nil && !slices.Contains(u.failed, t.name) {
			u.failed = append(u.failed, t.name)
			u.machine.Failed(n, now, t.epitaph())
			if old := u.olds[n]; old != nil && !old.wished && !old.over { // start-first: the slot keeps its old task
				sl := u.s.slots[n]
				sl.cancel()
				sl.current, sl.givenUp = old, nil
			}
		}
	}
	acts, wake, outcome := u.machine.Next(now)
	do(acts)
	if next := u.pulls.Next(); wake.IsZero() || !next.IsZero() && next.Before(wake) {
		wake = next
	}
	return acted, wake, outcome
}

// turnTo writes down that the rollout has come to a slot.
func (u *update) turnTo(n int) {
	if !u.turned[n] {
		if u.turned == nil {
			u.turned = map[int]bool{}
		}
		u.turned[n] = true
		u.s.c.emit(history.RolloutSlot, u.s.name, "", "slot", strconv.Itoa(n))
	}
}

func (u *update) do(a cluster.Act) {
	sl := u.s.slots[a.Slot]
	if sl == nil {
		return
	}
	if !a.Start {
		old := sl.current
		if u.news[a.Slot] != nil { // start-first
			old = u.olds[a.Slot]
		} else {
			sl.cancel()
		}
		u.olds[a.Slot] = old
		if old != nil {
			old.askStop()
		}
		return
	}
	sl.cancel()
	if u.olds[a.Slot] == nil {
		u.olds[a.Slot] = sl.current
	}
	sl.attempts, sl.givenUp, sl.failure = nil, nil, ""
	u.news[a.Slot] = u.s.launch(sl, u.s.spec)
}

// restore gives the slots back to those old tasks that were not told to stop yet: start-first has both in a slot for a while.
func (u *update) restore() {
	for n, t := range u.news {
		if old := u.olds[n]; old != nil && !old.wished && !old.over && u.s.slots[n] != nil {
			sl := u.s.slots[n]
			sl.cancel()
			sl.current, sl.givenUp = old, nil
			t.askStop()
		}
	}
}

// fill starts a task in every slot whose old one was told to stop and whose new one is not there: an update that ends early
// leaves no hole.
func (u *update) fill() {
	for _, sl := range u.s.slots {
		if sl.pending == nil && sl.givenUp == nil && (sl.current == nil || sl.current.wished) && u.s.life.Err() == nil {
			u.s.launch(sl, u.s.spec)
		}
	}
}
