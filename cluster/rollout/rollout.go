// Package rollout decides how a service's tasks are replaced: rolling, batched, blue-green, a canary's slots, restart and rollback.
//
// It is pure: (State, Observation, now) goes in, and actions, events and the next State come out. It starts no goroutine, reads no
// clock and touches no task. Package control carries its actions out on a cluster.
//
//	control                                Machine
//	Step(now, {})                      ->  become, look
//	Step(now, {slots, dirty})          ->  event rollout_begin, stop 1
//	Step(now, {gone 1})                ->  start 1
//	Step(now, {up 1})                  ->  wake at the end of the delay
//	...                                ->  done, completed
package rollout

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// State is a service between two changes.
type State struct {
	Spec     cluster.Service  // as tasks are started, and replaced that differ
	Previous *cluster.Service // what a rollback returns to, but for its replicas; nil: nothing
	Partial  bool             // some tasks may not be as Spec has them: the last change was of some slots, or ended early
	Native   bool             // the cluster's engine carries rolling updates out by itself
}

// Verb is what is to be done.
type Verb string

// The verbs. Those of one slot name it in Action.Slot.
const (
	Become      Verb = "become"       // tasks are started as State.Spec says from now on, and it says how they are balanced
	Look        Verb = "look"         // the next observation has Slots and Dirty
	Stop        Verb = "stop"         // of a slot: its old task is told to stop, after which Gone is reported
	Start       Verb = "start"        // of a slot: a new task, of which Up and Failed are reported
	Keep        Verb = "keep"         // of a slot: its new task ends, and the old one, where it still runs, has the slot again
	Pulled      Verb = "pulled"       // of a slot: its image has come
	Fill        Verb = "fill"         // every slot that has no task and waits for none gets one
	Prepare     Verb = "prepare"      // a second set of tasks, green, as After says, out of rotation, of which Ready and Failed are reported
	Open        Verb = "open"         // what is in front of the sets leads to green, where that is not one with TurnGreen; it may be refused
	TurnGreen   Verb = "turn green"   // green is in rotation and the first set, blue, is not, between two connections
	TurnBlue    Verb = "turn blue"    // and the other way round
	RetireGreen Verb = "retire green" // all of green is told to stop
	RetireBlue  Verb = "retire blue"
	Fetch       Verb = "fetch" // of an engine: the image is brought to every node
	Move        Verb = "move"  // of an engine: it carries Machine.Order out
)

// Action is one thing to do.
type Action struct {
	Verb Verb
	Slot int // 0: of the service
}

// What has become of a task.
type What string

// Gone is of the task that a slot had; Ready, Up and Failed are of the one that takes its place.
const (
	Gone   What = "gone"
	Ready  What = "ready" // of green: it could be in rotation
	Up     What = "up"    // it is in rotation
	Failed What = "failed"

	// Of an engine: it has come to the slot; and, of the service, what it says of the update that it carries out.
	Turned    What = "turned"
	Completed What = "completed"
	Paused    What = "paused"
	Returning What = "returning" // it goes back, as the settings say
	Returned  What = "returned"
	Stuck     What = "stuck" // the way back is paused
)

// Report says what has become of a slot's task, or of an engine's update (slot 0). The same may be reported again.
type Report struct {
	Slot   int
	What   What
	Reason string // of Failed, Paused, Returned and Stuck
}

// Observation is what has been seen since the last step.
type Observation struct {
	Looked  bool  // Slots and Dirty are the answer to Look
	Slots   []int // all, in order
	Dirty   []int // those whose task is not as State.Spec has it
	Reports []Report
	Refused string // why the last Open was; "": it was not
}

// Output is what follows from an observation.
type Output struct {
	Events  []history.Event // that have happened before the actions
	Actions []Action        // to be done in this order
	Wake    time.Time       // step again at the latest; zero: when something is reported
	Done    bool

	// Of a machine that is done.
	Outcome  event.Outcome // "": no task had to be replaced
	Reason   string        // why it did not complete
	Converge bool          // what is left is to wait until the service is as State.Spec says
}

// Machine is one change of a service, from its begin to its end.
type Machine struct {
	state      *State
	before     cluster.Service
	after      cluster.Service
	change     cluster.Change // its fields that are of this update only
	ofRollback bool
	force      bool          // replaces tasks that are as the service says, too
	limit      time.Duration // within which all of green must be ready

	rolling *rolling
	green   *blueGreen
	native  *native
	goesOn  bool // with an update that has replaced some tasks
	pulls   *pulls
	turned  map[int]bool // slots that the rollout has come to
	ill     bool         // a new task has failed
	reason  string       // of the rollback that follows a failure
	begun   bool
	out     Output
}

// Update begins a change of a service, of which green, if there is one, must be ready within limit.
func Update(state *State, change cluster.Change, limit time.Duration) (*Machine, error) {
	after, err := state.Spec.Changed(change)
	if err != nil {
		return nil, err
	}
	return &Machine{state: state, before: state.Spec, after: after, change: change, limit: limit}, nil
}

// Rollback begins the change that undoes the last one. Replicas stay as they are, also where they were scaled since.
func Rollback(state *State) (*Machine, error) {
	if state.Previous == nil {
		return nil, errors.New("it was not updated since it was deployed")
	}
	after := *state.Previous
	after.Replicas = state.Spec.Replicas
	return &Machine{state: state, before: state.Spec, after: after, ofRollback: true}, nil
}

// Restart begins to replace every task by one that is the same.
func Restart(state *State) *Machine {
	return &Machine{state: state, before: state.Spec, after: state.Spec, force: true}
}

// Before and After are the service before the change and as it shall be.
func (m *Machine) Before() cluster.Service { return m.before }
func (m *Machine) After() cluster.Service  { return m.after }

// Settings are those under which tasks are replaced.
func (m *Machine) Settings() cluster.Rollout {
	if m.ofRollback {
		return m.after.Rollback
	}
	return m.after.Update
}

// Strategy is that of the change.
func (m *Machine) Strategy() cluster.Strategy {
	return cmp.Or(m.change.Strategy, cluster.RollingUpdate)
}

// Replaces says whether tasks are to be replaced, as far as that can be known before anybody has looked.
func (m *Machine) Replaces() bool { return m.force || !m.before.SameTasks(m.after) }

// Patience is for how long, beyond the time that a task needs, nothing may happen.
func (m *Machine) Patience() time.Duration {
	longest := func(r cluster.Rollout) time.Duration { return r.Delay + r.Watch() }
	return m.change.Pull + max(longest(m.Settings()), longest(m.before.Rollback))
}

// Step goes on with the change. After Output.Done there is no more.
func (m *Machine) Step(now time.Time, o Observation) Output {
	m.out = Output{}
	switch {
	case !m.begun:
		m.begin()
	case o.Looked:
		m.looked(now, o)
	}
	switch {
	case m.out.Done:
	case m.green != nil:
		m.switchOver(now, o)
	case m.native != nil && len(m.out.Actions) == 0: // an order was taken
		m.follow(now, o.Reports)
	case m.rolling != nil:
		m.roll(now, o.Reports)
	}
	return m.out
}

// Abort ends a change early. Its actions leave no hole, and no second set.
func (m *Machine) Abort() []Action {
	prior := m.state.Partial
	m.state.Partial = true
	switch {
	case m.native != nil:
		if !m.native.moved { // the engine did not take it
			m.state.Spec, m.state.Previous, m.state.Partial = m.before, m.native.previous, prior
			return []Action{{Verb: Become}}
		}
		return nil
	case m.green == nil:
		return []Action{{Verb: Fill}}
	case m.green.back: // which failed: both sets are there
		return nil
	case m.green.turned:
		return []Action{{Verb: RetireBlue}}
	default:
		return []Action{{Verb: RetireGreen}}
	}
}

func (m *Machine) do(verbs ...Verb) {
	for _, v := range verbs {
		m.out.Actions = append(m.out.Actions, Action{Verb: v})
	}
}

func (m *Machine) event(p event.Payload) {
	m.out.Events = append(m.out.Events, history.NewEvent(m.after.Name, "", p))
}

func (m *Machine) end(outcome event.Outcome, reason string) {
	m.out.Done, m.out.Outcome, m.out.Reason = true, outcome, reason
}

func (m *Machine) begin() {
	m.begun = true
	if m.change.Strategy == cluster.BlueGreen && !m.before.SameTasks(m.after) {
		m.green = &blueGreen{}
		m.do(Look)
		return
	}
	// An update to what is desired already goes on with one that has replaced some tasks: it is the same update to a rollback.
	m.goesOn = m.state.Partial && !m.ofRollback && m.before.SameTasks(m.after)
	if m.state.Native {
		m.native = &native{previous: m.state.Previous, turned: map[int]bool{}, up: map[int]bool{}}
		m.do(Look)
	} else {
		m.do(Become, Look)
	}
	if !m.goesOn {
		before := m.before
		m.state.Previous = &before
	}
	m.state.Spec = m.after
}

// looked begins to replace tasks: those that differ, of the slots that are asked for.
func (m *Machine) looked(now time.Time, o Observation) {
	switch {
	case m.green != nil:
		m.prepare(now, o.Slots)
		return
	case m.native != nil:
		m.move(o.Slots)
		return
	}
	slots := o.Dirty
	if m.force {
		slots = o.Slots
	}
	if of := m.change.Slots; of != nil {
		slots = slices.DeleteFunc(slices.Clone(slots), func(n int) bool { return !slices.Contains(of, n) })
	}
	m.state.Partial = len(slots) < len(o.Dirty)
	if len(slots) == 0 && m.reason == "" {
		m.end("", "")
		return
	}
	m.announce(len(slots))
	m.rolling, m.pulls = newRolling(m.Settings(), slots, m.ofRollback), newPulls(m.change.Pull)
	m.turned, m.ill = map[int]bool{}, false
	if m.Strategy() == cluster.Batched {
		for _, n := range slots {
			m.pulls.begin(n, now)
		}
	}
}

// announce says that tasks begin to be replaced.
func (m *Machine) announce(tasks int) {
	r := m.Settings()
	m.event(event.RolloutBegin{Strategy: string(m.Strategy()), Parallelism: r.Parallelism, Delay: r.Delay, Order: r.Order, Tasks: tasks,
		Rollback: m.ofRollback})
}

func (m *Machine) roll(now time.Time, reports []Report) {
	pulled := m.pulls.ended(now)
	for _, n := range pulled {
		m.out.Actions = append(m.out.Actions, Action{Pulled, n})
	}
	for _, n := range pulled {
		m.out.Actions = append(m.out.Actions, m.pulls.release(n)...)
	}
	for _, r := range reports {
		switch r.What {
		case Gone:
			m.turn(m.rolling.gone(r.Slot), now)
		case Up:
			m.rolling.up(r.Slot, now)
		case Failed:
			m.ill = true
			m.turn(m.rolling.failed(r.Slot, now, r.Reason), now)
		}
	}
	acts, wake, outcome := m.rolling.next(now)
	m.turn(acts, now)
	m.out.Wake = wake
	if next := m.pulls.next(); wake.IsZero() || !next.IsZero() && next.Before(wake) {
		m.out.Wake = next
	}
	switch {
	case outcome == "":
	case outcome == event.RolledBack:
		m.goBack()
	case outcome == event.Completed && m.reason == "":
		m.out.Converge = !m.ill
		m.do(Fill)
		m.end(outcome, m.rolling.reason)
	case outcome == event.Completed:
		m.out.Converge = !m.ill
		m.do(Fill)
		m.end(event.RolledBack, m.reason)
	case m.reason == "":
		m.do(Fill)
		m.state.Partial = true
		m.end(outcome, m.rolling.reason)
	default:
		m.do(Fill)
		m.state.Partial = true
		m.end(outcome, m.reason+"; then the rollback was paused: "+m.rolling.reason)
	}
}

// turn does what is decided for slots, as soon as their images are there.
func (m *Machine) turn(acts []Action, now time.Time) {
	for _, a := range acts {
		if !m.turned[a.Slot] {
			m.turned[a.Slot] = true
			m.event(event.RolloutSlot{Slot: a.Slot})
		}
		if a.Verb == Keep || !m.pulls.hold(a, now) {
			m.out.Actions = append(m.out.Actions, a)
		}
	}
}

// goBack turns an update that has failed into a rollback, which nothing undoes.
func (m *Machine) goBack() {
	m.out.Actions = slices.DeleteFunc(m.out.Actions, func(a Action) bool { return a.Verb == Start }) // of what is not wanted any more
	m.out.Actions = append(m.out.Actions, m.rolling.kept()...)
	m.reason, m.rolling = m.rolling.reason, nil
	m.back()
	m.do(Become, Look)
	m.out.Wake = time.Time{}
}

// back makes what was before the update what the service shall be.
func (m *Machine) back() {
	if m.goesOn {
		m.before = *m.state.Previous
		m.before.Replicas = m.after.Replicas
	}
	m.after, m.ofRollback, m.force, m.change = m.before, true, false, cluster.Change{}
	m.state.Spec, m.state.Previous = m.before, nil
}

func sorted[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
