package rollout

import (
	"fmt"
	"time"

	"coinbench/cluster"
	"coinbench/history/event"
)

// blueGreen replaces a service's tasks (blue) by a second set (green):
//
//	blue   |in rotation ............................|kept out of rotation ....|told to stop
//	green         |started ... all are ready|switch|in rotation, watched .....|confirmed
//
// A green that fails before the switch, or more of them than cluster.Rollout.Tolerated within Rollout.Monitor after it, undoes it: blue
// never stopped.
type blueGreen struct {
	slots  []int
	pulled time.Time // when the images are there
	began  bool      // green is started
	opened bool
	turned bool
	back   bool      // to blue
	until  time.Time // by which green must be ready; then: to which it is watched
	ready  map[int]bool
	failed map[int]bool
	last   string // of green's failures
}

func (m *Machine) prepare(now time.Time, slots []int) {
	m.event(event.RolloutBegin{Strategy: string(cluster.BlueGreen), Order: "start-first", Tasks: len(slots)})
	m.green = &blueGreen{slots: slots, pulled: now.Add(m.change.Pull), ready: map[int]bool{}, failed: map[int]bool{}}
}

func (m *Machine) switchOver(now time.Time, o Observation) {
	g := m.green
	for _, r := range o.Reports {
		switch {
		case r.What == Ready:
			g.ready[r.Slot] = true
		case r.What == Failed && !g.failed[r.Slot]:
			g.failed[r.Slot], g.last = true, r.Reason
		}
	}
	n := len(g.slots)
	failures := fmt.Sprintf("%d of %d tasks failed, last %s", len(g.failed), n, g.last)
	switch {
	case g.pulled.IsZero(): // it was not looked at yet
	case !g.began && now.Before(g.pulled):
		m.out.Wake = g.pulled
	case !g.began:
		g.began, g.until = true, now.Add(m.limit)
		if m.change.Pull > 0 {
			for _, slot := range g.slots {
				m.out.Actions = append(m.out.Actions, Action{Pulled, slot})
			}
		}
		m.do(Prepare)
		m.out.Wake = g.until
	case g.opened && !g.turned && o.Refused != "":
		m.undo(o.Refused)
	case g.opened && !g.turned:
		before := m.before
		m.state.Spec, m.state.Previous, m.state.Partial = m.after, &before, false
		m.event(event.RolloutSwitch{To: event.Green})
		m.do(Become, TurnGreen)
		g.turned, g.until = true, now.Add(m.after.Update.Monitor)
		m.out.Wake = g.until
	case !g.turned && len(g.failed) > 0:
		m.undo(failures)
	case !g.turned && len(g.ready) == n:
		g.opened = true
		m.do(Open)
	case !g.turned && !now.Before(g.until):
		m.undo(fmt.Sprintf("%d of %d new tasks are ready after %s", len(g.ready), n, m.limit))
	case g.turned && len(g.failed) > m.after.Update.Tolerated(n):
		g.back = true
		m.state.Spec, m.state.Previous = m.before, nil
		m.event(event.RolloutSwitch{To: event.Blue})
		m.do(Become, TurnBlue)
		m.undo(failures)
	case g.turned && !now.Before(g.until):
		m.do(RetireBlue)
		m.out.Converge = true
		m.end(event.Completed, "")
	default:
		m.out.Wake = g.until
	}
}

func (m *Machine) undo(reason string) {
	m.do(RetireGreen)
	m.out.Converge = true
	m.end(event.RolledBack, reason)
}
