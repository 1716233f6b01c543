package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/history"
)

// Update changes a service by a rolling update, or by the change's strategy.
func (c *Cluster) Update(ctx context.Context, name string, change cluster.Change) error {
	return c.alter(ctx, "update", name, func(s *service) (cluster.Service, movement, error) {
		after, err := s.spec.Changed(change)
		return after, movement{change: change}, err
	})
}

// Rollback undoes the last update.
func (c *Cluster) Rollback(ctx context.Context, name string) error {
	return c.alter(ctx, "roll back", name, func(s *service) (cluster.Service, movement, error) {
		if s.previous == nil {
			return cluster.Service{}, movement{}, errors.New("it was not updated since it was deployed")
		}
		after := *s.previous
		after.Replicas = s.spec.Replicas
		return after, movement{ofRollback: true}, nil
	})
}

// Restart replaces every task by one that is the same.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	return c.alter(ctx, "restart", name, func(s *service) (cluster.Service, movement, error) {
		if kind, _, _ := cluster.OwnImage(s.spec.Image); kind == des.Redis {
			return cluster.Service{}, movement{}, errors.New("redis is no replica of the simulated cluster")
		}
		return s.spec, movement{force: true}, nil
	})
}

// Strategies lists all.
func (c *Cluster) Strategies() []cluster.Strategy { return cluster.Strategies() }

// movement is how a service becomes what it shall be.
type movement struct {
	change     cluster.Change // its fields that are of one update only
	ofRollback bool
	force      bool // replace tasks that are as wished already
}

func (c *Cluster) alter(ctx context.Context, verb, name string, to func(*service) (cluster.Service, movement, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.begin(ctx, name)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	defer func() { s.busy = false }()
	after, how, err := to(s)
	if err == nil {
		_, err = parse(after)
	}
	was, _, _ := cluster.OwnImage(s.spec.Image)
	if is, _, _ := cluster.OwnImage(after.Image); err == nil && (is != was || is == des.Redis && !s.spec.SameTasks(after)) {
		err = fmt.Errorf("image %s cannot become %s; accepted: another tag of the same service, and none of redis", s.spec.Image, after.Image)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	before := s.spec
	for _, id := range c.currents(s) {
		if _, known := s.tasks[id]; !known { // a successor that the simulator started by itself
			s.tasks[id] = before
		}
	}
	outcome, reason, err := c.move(ctx, s, before, after, how)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	if outcome != "" {
		detail := map[string]string{"state": string(outcome)}
		if reason != "" {
			detail["reason"] = reason
		}
		c.emit(history.Event{Kind: history.RolloutEnd, Service: name, Detail: detail})
		if outcome != cluster.Completed {
			return &cluster.RolloutError{Service: name, Outcome: outcome, Reason: reason}
		}
	}
	c.emit(history.Event{Kind: history.ServiceUpdated, Service: name, Detail: s.inForce()})
	return nil
}

// move makes a service what it shall be; an empty outcome says that no task had to be replaced for it.
func (c *Cluster) move(ctx context.Context, s *service, before, after cluster.Service, how movement) (cluster.Outcome, string, error) {
	if how.change.Strategy == cluster.BlueGreen && !before.SameTasks(after) {
		return c.switchOver(ctx, s, before, after, how.change.Pull)
	}
	// An update to what is wished already goes on with one that has replaced some tasks: it is the same update to a rollback.
	previous := s.previous
	if len(c.dirty(s, nil)) == 0 || how.ofRollback || !before.SameTasks(after) {
		previous = &before
	}
	if err := c.become(s, after, previous); err != nil {
		return "", "", err
	}
	if len(c.dirty(s, how.change.Slots)) == 0 && !how.force {
		return "", "", nil
	}
	r := after.Update
	if how.ofRollback {
		r = after.Rollback
	}
	outcome, reason, err := c.roll(ctx, s, r, how)
	if err != nil || outcome != cluster.RolledBack {
		return outcome, reason, err
	}
	back := before
	back.Replicas = s.spec.Replicas
	if err := c.become(s, back, nil); err != nil {
		return "", "", err
	}
	outcome, again, err := c.roll(ctx, s, back.Rollback, movement{ofRollback: true})
	if outcome == cluster.Completed {
		outcome = cluster.RolledBack
	} else if again != "" {
		reason += "; then the rollback was paused: " + again
	}
	return outcome, reason, err
}

func (c *Cluster) become(s *service, spec cluster.Service, previous *cluster.Service) error {
	s.spec, s.previous = spec, previous
	return c.tell(s)
}

// dirty are the slots whose task is not as the service now wishes it, of those that are asked for; nil: of all.
func (c *Cluster) dirty(s *service, of []int) []int {
	current := c.currents(s)
	var slots []int
	for slot := 1; slot <= s.spec.Replicas; slot++ {
		if of != nil && !slices.Contains(of, slot) {
			continue
		}
		if id, ok := current[slot]; !ok || !s.tasks[id].SameTasks(s.spec) {
			slots = append(slots, slot)
		}
	}
	return slots
}

// rolling is an update that is going on.
type rolling struct {
	c       *Cluster
	s       *service
	machine *cluster.Rolling
	olds    map[int]int  // by slot: told to stop, or kept until the new one is up
	news    map[int]int  // by slot
	touched []int        // tasks, of any service, whose state has changed since they were looked at last
	doomed  []doom       // new tasks whose health check is going to fail, the first to do so first
	failed  map[int]bool // by new task
	turned  map[int]bool // slots that the rollout has come to
	pulls   *cluster.Pulls
	why     string        // new tasks never get healthy; "": they do
	grace   time.Duration // after which such a task is given up
	acted   bool
}

// doom is when a new task is given up.
type doom struct {
	slot, id int
	at       time.Duration
}

// roll carries a rolling update out; its decisions are cluster.Rolling's.
func (c *Cluster) roll(ctx context.Context, s *service, r cluster.Rollout, how movement) (cluster.Outcome, string, error) {
	dirty := c.dirty(s, how.change.Slots)
	if how.force {
		dirty = sorted(c.currents(s))
	}
	strategy := cmp.Or(how.change.Strategy, cluster.RollingUpdate)
	detail := map[string]string{"strategy": string(strategy), "parallelism": strconv.Itoa(r.Parallelism), "delay": r.Delay.String(),
		"order": r.Order, "tasks": strconv.Itoa(len(dirty))}
	if how.ofRollback {
		detail["rollback"] = "true"
	}
	c.emit(history.Event{Kind: history.RolloutBegin, Service: s.spec.Name, Detail: detail})
	u := &rolling{c: c, s: s, machine: cluster.NewRolling(r, dirty, how.ofRollback), pulls: cluster.NewPulls(how.change.Pull),
		olds: map[int]int{}, news: map[int]int{}, failed: map[int]bool{}, turned: map[int]bool{}}
	if set, err := parse(s.spec); err == nil {
		u.why, u.grace = doomed(s.spec, set)
	}
	c.rolls = append(c.rolls, u)
	defer func() { c.rolls = slices.DeleteFunc(c.rolls, func(x *rolling) bool { return x == u }) }()
	if strategy == cluster.Batched {
		for _, slot := range dirty {
			u.pulls.Begin(slot, c.Now())
		}
	}
	for {
		wake, outcome := u.step()
		switch {
		case outcome == cluster.Completed && len(u.failed) == 0:
			return outcome, "", c.await(ctx, s)
		case outcome == cluster.RolledBack:
			return outcome, u.machine.Reason(), nil
		case outcome != "":
			c.set(s)
			return outcome, u.machine.Reason(), nil
		}
		if err := c.wait(ctx, wake, true); err != nil {
			c.set(s) // an update that ends early leaves no hole
			return "", "", err
		}
	}
}

// moved are the slots of the service in which a task has come into another state since the last call. An update of many tasks takes as
// many steps, and a step must not look at all of them.
func (u *rolling) moved() (slots []int) {
	for _, id := range u.touched {
		if t := u.c.sim.Task(id); t.Service == u.s.spec.Name {
			slots = append(slots, t.Slot)
		}
	}
	u.touched = u.touched[:0]
	slices.Sort(slots)
	return slices.Compact(slots)
}

// step tells the machine what has happened and does what it says, until there is nothing more to do now.
func (u *rolling) step() (wake time.Duration, outcome cluster.Outcome) {
	c := u.c
	for {
		u.acted = false
		now := c.Now()
		pulled := u.pulls.Ended(now)
		for _, slot := range pulled {
			c.emit(history.Event{Kind: history.TaskPulled, Service: u.s.spec.Name, Task: c.sim.Successor(u.s.spec.Name, slot)})
		}
		for _, slot := range pulled {
			u.do(u.pulls.Release(slot))
			u.acted = true
		}
		for _, slot := range u.moved() {
			old, begun := u.olds[slot]
			id, renewed := u.news[slot]
			switch {
			case renewed && c.sim.Task(id).State == des.Running:
				u.machine.Up(slot, now)
			case renewed && !u.failed[id] && c.sim.Task(id).State == des.Gone && c.sim.Task(id).Error != "":
				u.failed[id] = true
				u.machine.Failed(slot, now, c.sim.Task(id).Name+": "+c.sim.Task(id).Error)
				u.acted = true
			case begun && !renewed && (old == nobody || c.sim.Task(old).State == des.Gone):
				u.do(u.machine.Gone(slot))
			}
		}
		wake = c.sim.Now() + patience
		for len(u.doomed) > 0 && u.doomed[0].at <= c.sim.Now() {
			d := u.doomed[0]
			u.doomed = u.doomed[1:]
			u.failed[d.id] = true
			c.emit(history.Event{Kind: history.TaskUnhealthy, Service: u.s.spec.Name, Task: c.sim.Task(d.id).Name, Detail: map[string]string{"error": u.why}})
			if err := c.sim.StopTask(d.id, u.s.stop()); err != nil {
				u.why = err.Error()
			}
			u.machine.Failed(d.slot, now, c.sim.Task(d.id).Name+": "+u.why)
			u.acted = true
		}
		if len(u.doomed) > 0 {
			wake = min(wake, u.doomed[0].at)
		}
		acts, next, outcome := u.machine.Next(now)
		u.do(acts)
		for _, at := range []time.Time{next, u.pulls.Next()} {
			if !at.IsZero() {
				wake = min(wake, at.Sub(c.start))
			}
		}
		if outcome != "" || !u.acted {
			return wake, outcome
		}
	}
}

// nobody is in a slot whose task was killed, and whose successor is not there yet.
const nobody = -1

func (u *rolling) do(acts []cluster.Act) {
	for _, a := range acts {
		u.acted = true
		c, s := u.c, u.s
		if !u.turned[a.Slot] {
			u.turned[a.Slot] = true
			c.emit(history.Event{Kind: history.RolloutSlot, Service: s.spec.Name, Detail: map[string]string{"slot": strconv.Itoa(a.Slot)}})
		}
		if u.pulls.Hold(a, c.Now()) {
			continue
		}
		current, held := c.sim.Current(s.spec.Name, a.Slot)
		if !held {
			current = nobody
		}
		if !a.Start {
			if _, renewed := u.news[a.Slot]; renewed { // start-first
				current = u.olds[a.Slot]
			}
			u.olds[a.Slot] = current
			if current == nobody {
				u.do(u.machine.Gone(a.Slot))
				continue
			}
			if err := c.sim.StopTask(current, s.stop()); err != nil {
				panic("sim: " + err.Error())
			}
			u.touched = append(u.touched, current) // it may have been told to stop before
			continue
		}
		if _, known := u.olds[a.Slot]; !known {
			u.olds[a.Slot] = current
		}
		id := c.startTask(s, a.Slot)
		u.news[a.Slot] = id
		if u.why != "" {
			u.doomed = append(u.doomed, doom{a.Slot, id, c.sim.Now() + c.config.Costs.TaskStart + u.grace})
		}
	}
}
