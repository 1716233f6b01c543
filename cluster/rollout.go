package cluster

import (
	"fmt"
	"time"
)

// Outcome is how a rolling update ended.
type Outcome string

// The outcomes of a rolling update.
const (
	Completed  Outcome = "completed"
	Paused     Outcome = "paused"
	RolledBack Outcome = "rolled_back"
)

// RolloutError says that an update did not complete.
type RolloutError struct {
	Service string
	Outcome Outcome // Paused or RolledBack
	Reason  string
}

// Error says which service, what became of its update and why.
func (e *RolloutError) Error() string {
	return fmt.Sprintf("update of %s %s: %s", e.Service, e.Outcome, e.Reason)
}

// Rolling decides a rolling update; it does nothing itself. Whoever carries the update out calls Next, performs the acts,
// and reports what becomes of them by Gone, Up and Failed, until Next says that the update has ended.
//
// The rules are those of Docker Swarm's updater (moby/swarmkit, manager/orchestrator/update): Parallelism independent lanes
// draw slots from one queue, and not batches in lock-step; every lane waits Delay after every slot, the last one too; after the last
// lane the tasks are watched for one Monitor more. A new task that fails before it is up, or within Monitor after it,
// counts as one failure; when failures/slots is greater than MaxFailureRatio, FailureAction is taken. With
// "continue" nothing is counted. A rollback is never rolled back, but paused.
//
//	lane 1  |stop 1|start 1|delay|stop 3|start 3|delay|
//	lane 2  |stop 2|start 2  |delay|stop 4|start 4|delay|monitor|  completed
//
// One thing differs: with start-first the slot of a new task that fails keeps its old task.
type Rolling struct {
	rollout    Rollout
	ofRollback bool
	queue      []int             // slots that no lane has taken
	idle       int               // lanes that may take a slot
	busy       int               // lanes that have one
	delays     []time.Time       // when each lane that waits after its slot is idle again: in order, for all wait equally long
	settled    []int             // slots that are up or have failed, and whose lane does not know yet
	slots      map[int]*progress // slots that a lane has taken
	total      int
	failures   int
	halted     Outcome // Paused or RolledBack once a failure has triggered it
	reason     string
	drained    bool      // every lane has finished
	finish     time.Time // end of the last monitoring
}

type phase int

const (
	stopping phase = iota
	starting
	up
	failed
)

type progress struct {
	phase phase
	upAt  time.Time
}

// Act is what the carrier of a rolling update does next to one slot.
type Act struct {
	Slot  int
	Start bool // start the new task; false: stop the old one
}

// NewRolling begins an update of the given slots. ofRollback: the update is itself a rollback.
func NewRolling(r Rollout, slots []int, ofRollback bool) *Rolling {
	n := r.Parallelism
	if n == 0 || n > len(slots) {
		n = len(slots)
	}
	return &Rolling{rollout: r, ofRollback: ofRollback, queue: append([]int(nil), slots...), idle: n, slots: map[int]*progress{}, total: len(slots)}
}

// Next returns the acts that are due, and when to call again even if nothing is reported (zero: only then).
// done is not empty when the update has ended; then there are no acts. It costs no more than what it returns, however many lanes
// there are.
func (r *Rolling) Next(now time.Time) (acts []Act, wake time.Time, done Outcome) {
	if r.total == 0 {
		return nil, time.Time{}, Completed
	}
	if r.halted == RolledBack {
		return nil, time.Time{}, RolledBack
	}
	for _, slot := range r.settled {
		if r.slots[slot].phase == up && r.rollout.Order == "start-first" {
			acts = append(acts, Act{Slot: slot})
		}
		r.busy--
		r.delays = append(r.delays, now.Add(r.rollout.Delay))
	}
	r.settled = r.settled[:0]
	for len(r.delays) > 0 && !r.delays[0].After(now) {
		r.delays = r.delays[1:]
		r.idle++
	}
	first := stopping
	if r.rollout.Order == "start-first" {
		first = starting
	}
	for r.idle > 0 && len(r.queue) > 0 && r.halted == "" {
		slot := r.queue[0]
		r.queue = r.queue[1:]
		r.idle--
		r.busy++
		r.slots[slot] = &progress{phase: first}
		acts = append(acts, Act{Slot: slot, Start: first == starting})
	}
	if len(r.delays) > 0 {
		wake = r.delays[0]
	}
	switch {
	case r.busy > 0:
		return acts, wake, ""
	case r.halted == Paused:
		return nil, time.Time{}, Paused
	case len(r.delays) > 0:
		return acts, wake, ""
	case !r.drained:
		r.drained, r.finish = true, now.Add(r.rollout.Monitor)
		fallthrough
	default:
		if r.finish.After(now) {
			return acts, r.finish, ""
		}
		return nil, time.Time{}, Completed
	}
}

// Gone reports that the old task of a slot is gone. It returns the act that follows.
func (r *Rolling) Gone(slot int) []Act {
	if p := r.slots[slot]; p != nil && p.phase == stopping {
		p.phase = starting
		return []Act{{Slot: slot, Start: true}}
	}
	return nil
}

// Up reports that the new task of a slot is in rotation.
func (r *Rolling) Up(slot int, now time.Time) {
	if p := r.slots[slot]; p != nil && p.phase == starting {
		p.phase, p.upAt = up, now
		r.settled = append(r.settled, slot)
	}
}

// Failed reports that the new task of a slot has ended, or fallen ill, not as wished.
func (r *Rolling) Failed(slot int, now time.Time, reason string) {
	p := r.slots[slot]
	if p == nil || p.phase == stopping || p.phase == failed {
		return
	}
	counts := p.phase == starting || now.Sub(p.upAt) <= r.rollout.Monitor
	if p.phase == starting {
		r.settled = append(r.settled, slot)
	}
	p.phase = failed
	if !counts || r.rollout.FailureAction == "continue" {
		return
	}
	r.failures++
	if float64(r.failures)/float64(r.total) <= r.rollout.MaxFailureRatio || r.halted != "" {
		return
	}
	r.halted = Paused
	if r.rollout.FailureAction == "rollback" && !r.ofRollback {
		r.halted = RolledBack
	}
	r.reason = fmt.Sprintf("%d of %d tasks failed, last %s", r.failures, r.total, reason)
}

// Reason says why the update was paused or rolled back.
func (r *Rolling) Reason() string { return r.reason }
