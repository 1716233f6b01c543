package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/history"
)

// Update changes a service by a rolling update.
func (c *Cluster) Update(ctx context.Context, name string, change cluster.Change) error {
	return c.alter(ctx, "update", name, func(s *service) (cluster.Service, bool, error) {
		after, err := s.spec.Changed(change)
		return after, false, err
	})
}

// Rollback undoes the last update.
func (c *Cluster) Rollback(ctx context.Context, name string) error {
	return c.alter(ctx, "roll back", name, func(s *service) (cluster.Service, bool, error) {
		if s.previous == nil {
			return cluster.Service{}, true, errors.New("it was not updated since it was deployed")
		}
		after := *s.previous
		after.Replicas = s.spec.Replicas
		return after, true, nil
	})
}

func (c *Cluster) alter(ctx context.Context, verb, name string, to func(*service) (cluster.Service, bool, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.begin(ctx, name)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	defer func() { s.busy = false }()
	after, ofRollback, err := to(s)
	if err == nil {
		_, err = parse(after)
	}
	was, _, _ := parseImage(s.spec.Image)
	if is, _, _ := parseImage(after.Image); err == nil && (is != was || is == des.Redis && !s.spec.SameTasks(after)) {
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
	if err := c.become(s, after, &before); err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	if len(c.dirty(s)) > 0 {
		r := after.Update
		if ofRollback {
			r = after.Rollback
		}
		outcome, reason, err := c.roll(ctx, s, r, ofRollback)
		if err == nil && outcome == cluster.RolledBack {
			if err = c.become(s, before, nil); err == nil {
				var again string
				if outcome, again, err = c.roll(ctx, s, before.Rollback, true); outcome == cluster.Completed {
					outcome = cluster.RolledBack
				} else if again != "" {
					reason += "; then the rollback was paused: " + again
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", verb, name, err)
		}
		c.emit(history.Event{Kind: history.RolloutEnd, Service: name, Detail: map[string]string{"state": string(outcome)}})
		if outcome != cluster.Completed {
			return &cluster.RolloutError{Service: name, Outcome: outcome, Reason: reason}
		}
	}
	c.emit(history.Event{Kind: history.ServiceUpdated, Service: name, Detail: s.inForce()})
	return nil
}

func (c *Cluster) become(s *service, spec cluster.Service, previous *cluster.Service) error {
	s.spec, s.previous = spec, previous
	return c.tell(s)
}

// dirty are the slots whose task is not as the service now wishes it.
func (c *Cluster) dirty(s *service) []int {
	current := c.currents(s)
	var slots []int
	for slot := 1; slot <= s.spec.Replicas; slot++ {
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
	olds    map[int]int           // by slot: told to stop, or kept until the new one is up
	news    map[int]int           // by slot
	givenUp map[int]time.Duration // by new task: when its health check has failed
	failed  map[int]bool          // by new task
	why     string
	acted   bool
}

// roll carries a rolling update out; its decisions are cluster.Rolling's.
func (c *Cluster) roll(ctx context.Context, s *service, r cluster.Rollout, ofRollback bool) (cluster.Outcome, string, error) {
	detail := map[string]string{"parallelism": strconv.Itoa(r.Parallelism), "delay": r.Delay.String(), "order": r.Order}
	if ofRollback {
		detail["rollback"] = "true"
	}
	c.emit(history.Event{Kind: history.RolloutBegin, Service: s.spec.Name, Detail: detail})
	u := &rolling{c: c, s: s, machine: cluster.NewRolling(r, c.dirty(s), ofRollback),
		olds: map[int]int{}, news: map[int]int{}, givenUp: map[int]time.Duration{}, failed: map[int]bool{}}
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

// step tells the machine what has happened and does what it says, until there is nothing more to do now.
func (u *rolling) step() (wake time.Duration, outcome cluster.Outcome) {
	c := u.c
	for {
		u.acted = false
		now := c.Now()
		for _, slot := range sorted(u.olds) {
			_, renewed := u.news[slot]
			if old := u.olds[slot]; !renewed && (old < 0 || c.sim.Task(old).State == des.Gone) {
				u.do(u.machine.Gone(slot))
			}
		}
		wake = c.sim.Now() + patience
		for _, slot := range sorted(u.news) {
			id := u.news[slot]
			if c.sim.Task(id).State == des.Running {
				u.machine.Up(slot, now)
			}
			limit, sick := u.givenUp[id]
			if sick && !u.failed[id] && limit <= c.sim.Now() {
				u.failed[id] = true
				c.emit(history.Event{Kind: history.TaskUnhealthy, Service: u.s.spec.Name, Task: c.sim.Task(id).Name, Detail: map[string]string{"error": u.why}})
				if err := c.sim.StopTask(id, u.s.stop()); err != nil {
					u.why = err.Error()
				}
				u.machine.Failed(slot, now, c.sim.Task(id).Name+": "+u.why)
				u.acted = true
			} else if sick && !u.failed[id] {
				wake = min(wake, limit)
			}
		}
		acts, next, outcome := u.machine.Next(now)
		u.do(acts)
		if !next.IsZero() {
			wake = min(wake, next.Sub(c.start))
		}
		if outcome != "" || !u.acted {
			return wake, outcome
		}
	}
}

func (u *rolling) do(acts []cluster.Act) {
	for _, a := range acts {
		u.acted = true
		c, s := u.c, u.s
		current, held := c.currents(s)[a.Slot]
		if !held {
			current = -1
		}
		if !a.Start {
			if _, renewed := u.news[a.Slot]; renewed { // start-first
				current = u.olds[a.Slot]
			}
			u.olds[a.Slot] = current
			if current >= 0 {
				if err := c.sim.StopTask(current, s.stop()); err != nil {
					panic("sim: " + err.Error())
				}
			}
			continue
		}
		if _, known := u.olds[a.Slot]; !known {
			u.olds[a.Slot] = current
		}
		id := c.startTask(s, a.Slot)
		u.news[a.Slot] = id
		if set, err := parse(s.spec); err == nil {
			if why, after := doomed(s.spec, set); why != "" {
				u.why, u.givenUp[id] = why, c.sim.Now()+c.config.Costs.TaskStart+after
			}
		}
	}
}
