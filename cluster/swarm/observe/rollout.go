package observe

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/history"
)

// Rollout follows the engine's own update of a service, which it carries out by itself, to its end.
type Rollout struct {
	of    Service
	rules cluster.Rollout
	part  int // tasks to be replaced; 0: all, and the engine says when it is done
	since int // the look that was made last before the service was changed

	known  map[string]bool // by the ID of the tasks before it, or before its rollback: whether they were to stop then already
	last   map[string]bool // the same of the tasks at the last step
	turned map[int]bool    // slots that it has come to
	back   bool            // the engine rolls back
	up     time.Time       // since when a part is in rotation
	moved  time.Time       // when something was seen to change last
	before string
}

// Progress is how far a rollout has come.
type Progress struct {
	Outcome cluster.Outcome // "": it goes on
	Reason  string          // in the engine's words, and how the last task failed
	Moved   time.Time       // when something was seen to change last

	Converge bool // what is left is to wait until the service is as it was before
}

// Follow begins to follow an update of a service under rules, before the engine is told of it. part: it ends when that many new tasks
// have been in rotation for as long as they are watched; 0: when the engine says so.
func (s State) Follow(v Service, rules cluster.Rollout, part int, now time.Time) Rollout {
	r := Rollout{of: v, rules: rules, part: part, since: s.Looks, moved: now}
	r.known = stopping(s.Live(v.Spec.Name))
	r.last = r.known
	return r
}

func stopping(tasks []Task) map[string]bool {
	m := map[string]bool{}
	for _, t := range tasks {
		m[t.ID] = t.StopRequested()
	}
	return m
}

// Told notes that the engine has been told, at a state: what was seen before says nothing of the update.
func (r Rollout) Told(s State) Rollout {
	r.since = s.Looks
	return r
}

// Step takes a later state up.
func (r Rollout) Step(s State, now time.Time) (Rollout, Progress, []history.Event) {
	w := &step{}
	if s.Looks < r.since+2 { // the look in progress may have begun before the change
		return r, Progress{Moved: r.moved}, nil
	}
	name := r.of.Spec.Name
	status := s.updates[r.of.ID]
	reason := func(text string) string {
		text = strings.TrimSpace(text)
		if last := s.LastFault(name, 0); last != "" {
			text += "; last, " + last
		}
		return text
	}
	p := Progress{}
	switch status.State {
	case swarm.UpdateStateCompleted:
		p.Outcome = cluster.Completed
	case swarm.UpdateStatePaused:
		p.Outcome, p.Reason = cluster.Paused, reason(status.Message)
	case swarm.UpdateStateRollbackPaused:
		p.Outcome, p.Reason = cluster.RolledBack, reason("then the rollback was paused: "+status.Message)
	case swarm.UpdateStateRollbackCompleted:
		p.Outcome, p.Reason, p.Converge = cluster.RolledBack, reason(status.Message), true
	}
	live := s.Live(name)
	turn := func() {
		r.turned = copied(r.turned)
		for _, t := range live {
			if stopping, known := r.known[t.ID]; (!known || t.StopRequested() && !stopping) && !r.turned[t.Slot] {
				r.turned[t.Slot] = true
				w.event(history.RolloutSlot, name, "", "slot", strconv.Itoa(t.Slot))
			}
		}
	}
	turn()
	if (status.State == swarm.UpdateStateRollbackStarted || p.Outcome == cluster.RolledBack) && !r.back {
		r.back = true
		b := r.of.Spec.Rollback
		w.event(history.RolloutBegin, name, "", "strategy", string(cluster.RollingUpdate), "parallelism", strconv.Itoa(b.Parallelism),
			"delay", b.Delay.String(), "order", b.Order, "tasks", strconv.Itoa(len(r.turned)), "rollback", "true")
		r.known, r.turned = r.last, nil
		turn()
	}
	r.last = stopping(live)
	seen := string(status.State)
	young := 0
	for _, t := range live {
		seen += fmt.Sprint(" ", t.Name, t.State, t.Desired)
		if _, known := r.known[t.ID]; !known && t.Joined && !t.StopRequested() {
			young++
		}
	}
	if seen != r.before {
		r.moved, r.before = now, seen
	}
	p.Moved = r.moved
	switch {
	case r.part == 0 || young < r.part:
		r.up = time.Time{}
	case r.up.IsZero():
		r.up = now
	}
	if !r.up.IsZero() && now.Sub(r.up) >= r.rules.Monitor && p.Outcome == "" {
		p.Outcome = cluster.Completed
	}
	return r, p, w.events
}
