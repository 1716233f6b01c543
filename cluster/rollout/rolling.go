package rollout

import (
	"fmt"
	"time"

	"coinbench/cluster"
	"coinbench/history/event"
)

// rolling decides in which order the tasks of some slots are replaced.
//
// The rules are those of Docker Swarm's updater (moby/swarmkit, manager/orchestrator/update): Parallelism independent lanes
// draw slots from one queue, and not batches in lock-step; every lane waits Delay after every slot, the last one too; after the last
// lane the tasks are watched once more. A new task that fails before it is up, or while it is watched, counts as one failure; more
// failures than cluster.Rollout.Tolerated lead to FailureAction. With "continue" nothing is counted. A rollback is never rolled back,
// but paused.
//
//	lane 1  |stop 1|start 1|delay|stop 3|start 3|delay|
//	lane 2  |stop 2|start 2  |delay|stop 4|start 4|delay|watch|  completed
//
// One thing differs: with start-first the slot of a new task that fails keeps its old task.
type rolling struct {
	rollout    cluster.Rollout
	ofRollback bool
	queue      []int             // slots that no lane has taken
	idle       int               // lanes that may take a slot
	busy       int               // lanes that have one
	delays     []time.Time       // when each lane that waits after its slot is idle again: in order, for all wait equally long
	settled    []int             // slots that are up or have failed, and whose lane does not know yet
	slots      map[int]*progress // slots that a lane has taken
	total      int
	failures   int
	halted     event.Outcome // Paused or RolledBack once a failure has triggered it
	reason     string
	drained    bool      // every lane has finished
	finish     time.Time // end of the last watch
}

type phase int

const (
	stopping phase = iota
	starting
	up
	failed
)

type progress struct {
	phase   phase
	upAt    time.Time
	replace bool // the old task was told to stop
}

// newRolling begins to replace the tasks of slots.
func newRolling(r cluster.Rollout, slots []int, ofRollback bool) *rolling {
	n := r.Parallelism
	if n == 0 || n > len(slots) {
		n = len(slots)
	}
	return &rolling{rollout: r, ofRollback: ofRollback, queue: append([]int(nil), slots...), idle: n, slots: map[int]*progress{},
		total: len(slots)}
}

func (r *rolling) startFirst() bool { return r.rollout.Order == "start-first" }

// next returns the actions that are due, and when to call again even if nothing is reported (zero: only then).
// done is not empty when the update has ended; then there are no actions. It costs no more than what it returns, however many lanes
// there are.
func (r *rolling) next(now time.Time) (acts []Action, wake time.Time, done event.Outcome) {
	if r.total == 0 {
		return nil, time.Time{}, event.Completed
	}
	if r.halted == event.RolledBack {
		return nil, time.Time{}, event.RolledBack
	}
	for _, slot := range r.settled {
		if p := r.slots[slot]; p.phase == up && r.startFirst() {
			p.replace = true
			acts = append(acts, Action{Stop, slot})
		}
		r.busy--
		r.delays = append(r.delays, now.Add(r.rollout.Delay))
	}
	r.settled = r.settled[:0]
	for len(r.delays) > 0 && !r.delays[0].After(now) {
		r.delays = r.delays[1:]
		r.idle++
	}
	for r.idle > 0 && len(r.queue) > 0 && r.halted == "" {
		slot := r.queue[0]
		r.queue = r.queue[1:]
		r.idle--
		r.busy++
		if r.startFirst() {
			r.slots[slot] = &progress{phase: starting}
			acts = append(acts, Action{Start, slot})
		} else {
			r.slots[slot] = &progress{phase: stopping, replace: true}
			acts = append(acts, Action{Stop, slot})
		}
	}
	if len(r.delays) > 0 {
		wake = r.delays[0]
	}
	switch {
	case r.busy > 0:
		return acts, wake, ""
	case r.halted == event.Paused:
		return nil, time.Time{}, event.Paused
	case len(r.delays) > 0:
		return acts, wake, ""
	case !r.drained:
		r.drained, r.finish = true, now.Add(max(r.rollout.Monitor, r.rollout.Delay))
		fallthrough
	default:
		if r.finish.After(now) {
			return acts, r.finish, ""
		}
		return nil, time.Time{}, event.Completed
	}
}

// gone reports that the old task of a slot is gone. It returns the action that follows.
func (r *rolling) gone(slot int) []Action {
	if p := r.slots[slot]; p != nil && p.phase == stopping {
		p.phase = starting
		return []Action{{Start, slot}}
	}
	return nil
}

// up reports that the new task of a slot is in rotation.
func (r *rolling) up(slot int, now time.Time) {
	if p := r.slots[slot]; p != nil && p.phase == starting {
		p.phase, p.upAt = up, now
		r.settled = append(r.settled, slot)
	}
}

// failed reports that the new task of a slot has ended, or fallen ill, without being asked to. It returns the action that follows.
func (r *rolling) failed(slot int, now time.Time, reason string) (acts []Action) {
	p := r.slots[slot]
	if p == nil || p.phase == stopping || p.phase == failed {
		return nil
	}
	counts := p.phase == starting || now.Sub(p.upAt) <= r.rollout.Watch()
	if p.phase == starting {
		r.settled = append(r.settled, slot)
	}
	p.phase = failed
	if !p.replace {
		acts = []Action{{Keep, slot}}
	}
	if !counts || r.rollout.FailureAction == "continue" {
		return acts
	}
	r.failures++
	if r.failures <= r.rollout.Tolerated(r.total) || r.halted != "" {
		return acts
	}
	r.halted = event.Paused
	if r.rollout.FailureAction == "rollback" && !r.ofRollback {
		r.halted = event.RolledBack
	}
	r.reason = fmt.Sprintf("%d of %d tasks failed, last %s", r.failures, r.total, reason)
	return acts
}

// kept are the actions that leave no slot with an old and a new task when the update ends early.
func (r *rolling) kept() (acts []Action) {
	for _, slot := range sorted(r.slots) {
		if p := r.slots[slot]; !p.replace && p.phase != failed {
			acts = append(acts, Action{Keep, slot})
		}
	}
	return acts
}
