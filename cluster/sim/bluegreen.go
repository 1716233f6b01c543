package sim

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster"
	"coinbench/history"
)

// switchOver replaces a service's tasks (blue) by a second set (green) as the local cluster does: green starts beside blue and out of
// rotation; when all of it is healthy, all new connections go to it at once; blue is kept for Rollout.Monitor and then told to stop. A green
// that fails before the switch, or more than Rollout.MaxFailureRatio of them after it, undoes it.
func (c *Cluster) switchOver(ctx context.Context, s *service, before, after cluster.Service, pull time.Duration) (cluster.Outcome, string, error) {
	name := before.Name
	blues := c.currents(s)
	c.emit(history.Event{Kind: history.RolloutBegin, Service: name, Detail: map[string]string{
		"strategy": string(cluster.BlueGreen), "order": "start-first", "tasks": strconv.Itoa(len(blues))}})
	if pull > 0 {
		if err := c.wait(ctx, c.sim.Now()+pull, false); err != nil {
			return "", "", err
		}
	}
	if err := c.become(s, after, &before); err != nil {
		return "", "", err
	}
	greens := map[int]int{}
	why, limit := "", time.Duration(0)
	if set, err := parse(after); err == nil {
		why, limit = doomed(after, set)
	}
	limit += c.sim.Now() + c.config.Costs.TaskStart
	for slot := 1; slot <= before.Replicas; slot++ {
		if pull > 0 {
			c.emit(history.Event{Kind: history.TaskPulled, Service: name, Task: c.sim.Successor(name, slot)})
		}
		id, err := c.sim.StartTaskBeside(name, slot)
		if err != nil { // Check and the caller have excluded it
			panic("sim: " + err.Error())
		}
		s.tasks[id], greens[slot] = after, id
	}
	undo := func() (cluster.Outcome, string, error) {
		n, last := 0, ""
		for _, slot := range sorted(greens) {
			t := c.sim.Task(greens[slot])
			switch {
			case t.State == des.Gone:
				n, last = n+1, t.Name+": "+t.Error
			case why != "" && t.Held:
				n, last = n+1, t.Name+": "+why
				c.emit(history.Event{Kind: history.TaskUnhealthy, Service: name, Task: t.Name, Detail: map[string]string{"error": why}})
			}
		}
		reason := fmt.Sprintf("%d of %d tasks failed, last %s", n, len(greens), last)
		c.stopAll(s, greens)
		if err := c.become(s, before, nil); err != nil {
			return "", "", err
		}
		return cluster.RolledBack, reason, c.await(ctx, s)
	}

	for deadline := c.sim.Now() + patience; ; {
		ready, gone := c.ready(greens)
		if gone > 0 || why != "" && c.sim.Now() >= limit {
			return undo()
		}
		if ready == len(greens) {
			break
		}
		if c.sim.Now() >= deadline {
			why = "not healthy within " + patience.String()
			return undo()
		}
		wake := deadline
		if why != "" {
			wake = limit
		}
		if err := c.wait(ctx, wake, true); err != nil {
			c.stopAll(s, greens)
			_ = c.become(s, before, nil)
			return "", "", err
		}
	}

	c.turn(name, greens, blues, "green")
	for end := c.sim.Now() + after.Update.Monitor; c.sim.Now() < end; {
		if err := c.wait(ctx, end, true); err != nil {
			c.stopAll(s, blues)
			return "", "", err
		}
		if _, gone := c.ready(greens); float64(gone) > after.Update.MaxFailureRatio*float64(len(greens)) {
			c.turn(name, blues, greens, "blue")
			return undo()
		}
	}
	c.stopAll(s, blues)
	return cluster.Completed, "", c.await(ctx, s)
}

// ready counts the tasks of a set that could be in rotation, and those that are gone.
func (c *Cluster) ready(set map[int]int) (ready, gone int) {
	for _, id := range set {
		switch t := c.sim.Task(id); {
		case t.State == des.Gone:
			gone++
		case t.Ready:
			ready++
		}
	}
	return ready, gone
}

// turn makes one set the one that is in rotation.
func (c *Cluster) turn(name string, to, from map[int]int, colour string) {
	c.emit(history.Event{Kind: history.RolloutSwitch, Service: name, Detail: map[string]string{"to": colour}})
	c.sim.Turn(ids(to), ids(from))
}

func (c *Cluster) stopAll(s *service, set map[int]int) {
	for _, id := range ids(set) {
		if err := c.sim.StopTask(id, s.stop()); err != nil {
			panic("sim: " + err.Error())
		}
	}
}

// ids are the tasks of a set in the order of slots.
func ids(set map[int]int) (list []int) {
	for _, slot := range sorted(set) {
		list = append(list, set[slot])
	}
	return list
}
