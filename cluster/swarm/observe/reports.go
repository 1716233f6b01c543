package observe

import (
	"strings"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster/rollout"
)

// Change is a change of a service that the engine carries out, from before it is told to.
type Change struct {
	service string
	set     string // ID of the engine's service that replaces its tasks
	green   string // ID of the second set; "": there is none
	told    bool
	since   int // the look when the engine was told

	known  map[string]bool // by the ID of the tasks before it, or before its way back: whether they were told to stop then already
	last   map[string]bool // the same of the tasks at the last reports
	before map[string]bool // and at those before
	back   bool            // the engine goes back
}

// Change begins to follow a change of a service, before the engine is told of it. green is the ID of the second set of tasks, if the change
// is one of these: of the first, nothing is reported then.
func (s State) Change(v Service, green string) Change {
	known := s.stopping(v.Spec.Name)
	return Change{service: v.Spec.Name, set: v.ID, green: green, known: known, last: known, before: known}
}

// Told notes that the engine has been told, at a state: what was seen before says nothing of the change.
func (c Change) Told(s State) Change {
	c.told, c.since = true, s.Looks
	return c
}

func (s State) stopping(service string) map[string]bool {
	m := map[string]bool{}
	for id, t := range s.tasks {
		if t.Service == service {
			m[id] = t.StopRequested() || t.Gone
		}
	}
	return m
}

// reported is the engine's word for what is reported.
func reported(state swarm.UpdateState) rollout.What {
	switch state {
	case swarm.UpdateStateCompleted:
		return rollout.Completed
	case swarm.UpdateStatePaused:
		return rollout.Paused
	case swarm.UpdateStateRollbackStarted:
		return rollout.Returning
	case swarm.UpdateStateRollbackCompleted:
		return rollout.Returned
	case swarm.UpdateStateRollbackPaused:
		return rollout.Stuck
	}
	return ""
}

// Reports is what has become of the tasks of a change, and of the change.
func (c Change) Reports(s State) (Change, []rollout.Report) {
	if !c.told || s.Looks < c.since+2 { // the look in progress may have begun before the change
		return c, nil
	}
	var reports []rollout.Report
	report := func(t Task, what rollout.What, is bool) {
		if is {
			reports = append(reports, rollout.Report{Slot: t.Slot, What: what, Reason: t.Name + ": " + t.Fault()})
		}
	}
	tasks := s.All(func(t Task) bool { return t.Service == c.service })
	turned := func() {
		for _, t := range tasks {
			stopping, known := c.known[t.ID]
			report(t, rollout.Turned, !known || t.StopRequested() && !stopping)
		}
	}
	if c.green == "" {
		turned()
	}
	for _, t := range tasks {
		_, known := c.known[t.ID]
		failed, serves := t.Gone && t.Fault() != "", !t.Gone && !t.StopRequested()
		if c.green == "" {
			report(t, rollout.Failed, !known && failed)
			report(t, rollout.Up, !known && t.Joined && serves)
		} else if t.Set == c.green {
			report(t, rollout.Failed, failed)
			report(t, rollout.Ready, t.Ready && serves)
		}
	}
	status := s.updates[c.set]
	what := reported(status.State)
	if what == "" || c.green != "" {
		c.before, c.last = c.last, s.stopping(c.service)
		return c, reports
	}
	reason := strings.TrimSpace(status.Message)
	if last, _ := s.LastFault(c.service, 0); last != "" {
		reason += "; last, " + last
	}
	if back := what == rollout.Returning || what == rollout.Returned || what == rollout.Stuck; back && !c.back {
		// A look lists services before tasks: the last one may have shown the way back in these alone. What it showed of the way there
		// is replaced on the way back, too.
		reports = append(reports, rollout.Report{What: rollout.Returning, Reason: reason})
		c.back, c.known = true, c.before
		turned()
	}
	c.before, c.last = c.last, s.stopping(c.service)
	if what != rollout.Returning {
		reports = append(reports, rollout.Report{What: what, Reason: reason})
	}
	return c, reports
}
