package rollout

import (
	"time"

	"coinbench/cluster"
	"coinbench/history/event"
)

// native is a rolling update that the cluster's engine carries out by itself: it is told what the service shall be and how its tasks are
// replaced, and then followed.
//
//	control                                Machine
//	Step(now, {slots})                 ->  event rollout_begin, move
//	Step(now, {turned 2})              ->  event rollout_slot
//	Step(now, {completed})             ->  done, completed
type native struct {
	previous *cluster.Service // State.Previous before the change
	tasks    int              // that are to be replaced; 0: none
	of       int              // as many as there are
	turned   map[int]bool     // slots that the engine has come to
	up       map[int]bool     // slots whose new task is in rotation
	since    time.Time        // when all of an update of some slots were; zero: they are not
	moved    bool             // the engine has taken the order
	settled  bool             // and its settings are those of the service again
	returns  bool             // the engine goes back by itself
}

// Held is an engine's delay after an update of some slots. It cannot be told to replace some of the tasks, but it can be told to wait
// after them, until another update takes this one's place.
const Held = 24 * time.Hour

// Order is what an engine is told: to make a service what State.Spec says, and to replace its tasks under these settings.
type Order struct {
	State
	Settings cluster.Rollout
	Tasks    int  // that are to be replaced
	Force    bool // tasks that are as the service says are replaced, too
}

// Order is that of the last Move.
func (m *Machine) Order() Order {
	o := Order{State: *m.state, Settings: m.after.Update, Tasks: m.native.tasks, Force: m.force}
	switch n := m.native; {
	case n.settled:
		o.Tasks = 0
	case n.tasks > 0:
		o.Settings = told(m.Settings(), n.tasks, n.of, m.goesOn && !m.ofRollback)
	}
	return o
}

// told are the settings for an update of some tasks: the engine counts failures against all. What it would roll back to is what the
// service was before its last update, which of one that goes on is the same: it pauses instead, and is moved back.
func told(r cluster.Rollout, tasks, of int, goesOn bool) cluster.Rollout {
	if tasks < of {
		r.Parallelism, r.Delay = tasks, Held
		r.MaxFailureRatio = float64(float32(r.Tolerated(tasks)) / float32(of))
	}
	if goesOn && r.FailureAction == "rollback" {
		r.FailureAction = "pause"
	}
	return r
}

// move begins the update.
func (m *Machine) move(slots []int) {
	n := m.native
	n.of = len(slots)
	if m.force || m.goesOn || !m.before.SameTasks(m.after) {
		n.tasks = n.of
	}
	if k := len(m.change.Slots); k > 0 {
		n.tasks = min(n.tasks, k)
	}
	if n.tasks > 0 {
		m.announce(n.tasks)
		if m.Strategy() == cluster.Batched {
			m.do(Fetch)
		}
	}
	m.do(Move)
}

// follow goes on when the engine has taken an order.
func (m *Machine) follow(now time.Time, reports []Report) {
	n := m.native
	if n.moved = true; n.tasks == 0 || n.settled {
		m.finish()
		return
	}
	for _, r := range reports {
		switch r.What {
		case Turned:
			if !n.turned[r.Slot] {
				n.turned[r.Slot] = true
				m.event(event.RolloutSlot{Slot: r.Slot})
			}
		case Up:
			n.up[r.Slot] = true
		case Failed:
			m.ill = true
			delete(n.up, r.Slot)
		case Returning, Returned, Stuck:
			m.returned(r)
		case Paused:
			m.paused(r.Reason)
		case Completed:
			m.finish()
		}
	}
	switch {
	case n.tasks == n.of || len(n.up) < n.tasks:
		n.since = time.Time{}
		return
	case n.since.IsZero():
		n.since = now
	}
	if m.out.Wake = n.since.Add(m.Settings().Monitor); !now.Before(m.out.Wake) {
		m.finish()
	}
}

// returned is told that the engine goes back by itself, or how that ended.
func (m *Machine) returned(r Report) {
	if n := m.native; !n.returns {
		tasks := len(n.turned)
		n.returns, n.turned = true, map[int]bool{}
		m.reason = r.Reason
		m.back()
		m.announce(tasks)
		m.do(Become)
	}
	switch r.What {
	case Returned:
		m.state.Partial, m.out.Converge = false, true
		m.end(event.RolledBack, m.reason)
	case Stuck:
		m.paused(r.Reason)
	}
}

// paused is told that the engine has stopped.
func (m *Machine) paused(reason string) {
	switch n := m.native; {
	case m.goesOn && m.Settings().FailureAction == "rollback":
		m.reason = reason
		m.back()
		m.goesOn, n.tasks, n.turned = false, n.of, map[int]bool{}
		m.announce(n.of)
		m.do(Move)
		return
	case m.reason != "":
		reason = m.reason + "; then the rollback was paused: " + reason
	}
	m.state.Partial = true
	m.end(event.Paused, reason)
}

// finish ends an update that has gone through. The settings of a rollback were for this once.
func (m *Machine) finish() {
	n := m.native
	if n.tasks > 0 && m.ofRollback && !n.settled {
		n.settled = true
		m.do(Move)
		return
	}
	m.state.Partial, m.out.Converge = n.tasks < n.of && n.tasks > 0, !m.ill
	switch {
	case n.tasks == 0:
		m.end("", "")
	case m.reason != "":
		m.end(event.RolledBack, m.reason)
	default:
		m.end(event.Completed, "")
	}
}
