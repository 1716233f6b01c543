package observe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster/swarm/engineerr"
	"coinbench/history/event"
)

// doubt is for how long a task with a health check that has no process must be called running to be taken at its word: one that gets
// unhealthy before it was ever healthy, and ends with status 0, is called so for a moment, when its process has ended already.
const doubt = 2 * time.Second

// over says that a task has ended, or can be taken to have: the engine forgot it, or its node is lost.
func (s State) over(t *Task) bool {
	return Ended(t.State) || t.last < s.Looks || s.Nodes[t.Node].Down && t.StopRequested()
}

// deriveEvents turns what was seen into events. Within one look the order is that of a rolling update: with stop-first a task ends before
// the next in its slot starts, and leaves after those before it have joined; with start-first the new one joins before the old one leaves.
func (w *step) deriveEvents() {
	startFirst := map[string]bool{}
	for _, v := range w.app.Services {
		startFirst[v.Spec.Name] = v.Spec.Update.Order == "start-first"
	}
	var changed []*Task
	for _, t := range w.tasks {
		if !t.Gone {
			changed = append(changed, t)
		}
	}
	slices.SortFunc(changed, func(a, b *Task) int { return cmp.Or(cmp.Compare(a.Service, b.Service), inOrder(a, b)) })
	each := func(first bool, do func(*Task)) {
		for _, t := range changed {
			if startFirst[t.Service] == first {
				do(t)
			}
		}
	}
	each(false, func(t *Task) {
		if w.over(t) {
			w.depart(t)
		}
	})
	each(false, w.arrive)
	each(false, w.depart)
	each(true, w.arrive)
	each(true, w.depart)
}

// inOrder compares tasks of a service: by slots, and the youngest of a slot last.
func inOrder(a, b *Task) int {
	return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.order, b.order))
}

// arrive tells of a task that has started or is in rotation now.
func (w *step) arrive(t *Task) {
	if t.Gone || w.over(t) {
		return
	}
	node := w.Nodes[t.Node].Name
	if !t.pulled && (t.State == swarm.TaskStateReady || t.State == swarm.TaskStateStarting || t.State == swarm.TaskStateRunning) {
		t.pulled = true
		w.of(t, event.TaskPulled{Node: node})
	}
	if !t.Started && (t.State == swarm.TaskStateStarting || t.State == swarm.TaskStateRunning) {
		t.Started = true
		w.of(t, event.TaskStarted{Version: t.version, Image: t.Image, Address: t.Address, Node: node, Container: t.Container})
	}
	if t.State != swarm.TaskStateRunning || t.Joined || t.StopRequested() {
		return
	}
	if t.running.IsZero() {
		t.running = w.now
	}
	if t.checked && t.process == 0 && w.now.Sub(t.running) < doubt {
		return
	}
	if t.checked && !t.Ready {
		w.of(t, event.TaskHealthy{})
	}
	t.Ready = true
	if !slices.ContainsFunc(w.app.Services, func(v Service) bool { return v.Standby == t.Set }) {
		t.Joined = true
		w.of(t, event.TaskJoined{})
	}
}

// depart tells of a task that leaves or has left.
func (w *step) depart(t *Task) {
	over := w.over(t)
	if t.Gone || !over && !t.StopRequested() {
		return
	}
	unhealthy := engineerr.Unhealthy.In(t.Error)
	if t.InRotation() {
		if unhealthy {
			w.of(t, event.TaskUnhealthy{Error: t.Error})
		}
		w.of(t, event.TaskLeft{})
		t.Left = true
	}
	if !t.stopped && (t.StopRequested() || t.last < w.Looks) && t.Started && !t.Killed && t.Fault() == "" {
		w.of(t, event.TaskStopping{})
	}
	t.stopped = t.stopped || t.Started || over // one that an engine starts although it is not wanted any more is told of then
	if !over {
		return
	}
	t.Gone = true
	node, fault := w.Nodes[t.Node], t.Fault()
	if t.Error == "" && node.Down && !Ended(t.State) {
		fault = fmt.Sprintf("its node %s is down", node.Name)
	}
	if t.Started || fault != "" {
		if !t.Joined && unhealthy {
			w.of(t, event.TaskUnhealthy{Error: t.Error})
		}
		w.of(t, event.TaskGone{Exit: strconv.Itoa(t.Exit), Error: fault, Node: node.Name})
	}
}
