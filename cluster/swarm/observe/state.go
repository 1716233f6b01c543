package observe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engineerr"
)

// Task is a task by its ID, as it was seen last; false: it is not known.
func (s State) Task(id string) (Task, bool) {
	t := s.tasks[id]
	if t == nil {
		return Task{}, false
	}
	return *t, true
}

// All lists the tasks of which something holds, gone or not, by service and slot, the youngest of a slot last.
func (s State) All(which func(Task) bool) (list []Task) {
	for _, t := range s.tasks {
		if which(*t) {
			list = append(list, *t)
		}
	}
	slices.SortFunc(list, func(a, b Task) int { return cmp.Or(cmp.Compare(a.Service, b.Service), inOrder(&a, &b)) })
	return list
}

// Present is All of those that are not gone.
func (s State) Present(which func(Task) bool) []Task {
	return s.All(func(t Task) bool { return !t.Gone && which(t) })
}

// Live lists the tasks of a service that are not gone.
func (s State) Live(service string) []Task {
	return s.Present(func(t Task) bool { return t.Service == service })
}

// Names are those of tasks.
func Names(tasks []Task) string {
	var names []string
	for _, t := range tasks {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// Node finds a node by its name.
func (s State) Node(name string) (id string, err error) {
	var names []string
	for id, n := range s.Nodes {
		if n.Name == name {
			return id, nil
		}
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return "", fmt.Errorf("the Swarm has no node %q; accepted: %s", name, strings.Join(names, ", "))
}

// LastFault is what went wrong last with a slot (0: with any) of a service; "": nothing. image is that of the task.
func (s State) LastFault(service string, slot int) (text, image string) {
	var last *Task
	for _, t := range s.tasks {
		if t.Service == service && (slot == 0 || t.Slot == slot) && t.Gone && t.Fault() != "" && (last == nil || t.order > last.order) {
			last = t
		}
	}
	if last == nil {
		return "", ""
	}
	return fmt.Sprintf("%s on %s: %s", last.Name, cmp.Or(s.Nodes[last.Node].Name, "no node"), last.Fault()), last.Image
}

// failures is how many tasks of a slot (0: of any) ended in the way of which the advice is, with an image.
func (s State) failures(service string, slot int, image, advice string) (n int) {
	for _, t := range s.tasks {
		if t.Service == service && (slot == 0 || t.Slot == slot) && t.Gone && t.Image == image && engineerr.Advice(t.Fault()) == advice {
			n++
		}
	}
	return n
}

// unplaced is for how long a task may find no node before waiting is taken not to help.
const unplaced = 5 * time.Second

// Missing says which tasks of a service are not as desired: every slot in rotation, nothing else left; nil: all are. advice is not empty
// when waiting does not help.
func (s State) Missing(v Service, now time.Time) (advice string, err error) {
	name := v.Spec.Name
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	before := func(text, when string, slot int) string {
		last, image := s.LastFault(name, slot)
		if last == "" {
			return text
		}
		// What another image did says nothing of this one; and one node may have failed to pull it for a moment, the next one has it.
		a := engineerr.Advice(last)
		if image == v.Spec.Image && (s.failures(name, slot, image, a) > 1 || v.Spec.Restart.Condition == "none") {
			advice = cmp.Or(a, advice)
		}
		return text + when + last
	}
	filled := map[int]bool{}
	for _, t := range s.Live(name) {
		switch {
		case t.StopRequested() || t.Set != v.ID:
			fault("%s has not ended yet", t.Name)
			continue
		case t.Joined && !filled[t.Slot]:
			filled[t.Slot] = true
			continue
		}
		filled[t.Slot] = true
		text := fmt.Sprintf("%s is %s", t.Name, t.State)
		if n := s.Nodes[t.Node].Name; n != "" {
			text += " on " + n
		}
		if t.Pending != "" {
			text += ": " + t.Pending
			if engineerr.NoPlace.In(t.Pending) && now.Sub(t.since) > unplaced {
				advice = "make room, or change deploy.placement.constraints or the published port"
			}
		}
		fault("%s", before(text, "; before, ", t.Slot))
	}
	// Which slots stay when a service is made smaller is the engine's choice.
	switch n, want := len(filled), v.Spec.Replicas; {
	case v.Spec.Global && n == 0:
		fault("%s has no task on any node", name)
	case !v.Spec.Global && n > want:
		fault("%d of %d tasks of %s are not told to stop yet", n-want, n, name)
	case !v.Spec.Global && n < want:
		fault("%s", before(fmt.Sprintf("%d of %d tasks of %s are not there", want-n, want, name), "; last, ", 0))
	}
	if len(faults) > 5 {
		faults = append(faults[:5:5], fmt.Errorf("and %d more", len(faults)-5))
	}
	return advice, errors.Join(faults...)
}

// Victim is the task in rotation in a slot of a service. Where the slot is not there any more, because the service was made smaller, it is
// the one in that place among those that are.
func (s State) Victim(v Service, slot int) (Task, error) {
	live := slices.DeleteFunc(s.Live(v.Spec.Name), Task.StopRequested)
	var slots []int // that there are: the engine chooses which stay when a service is made smaller
	for _, t := range live {
		if !slices.Contains(slots, t.Slot) {
			slots = append(slots, t.Slot)
		}
	}
	real := slot
	if !slices.Contains(slots, slot) && slot >= 1 && slot <= len(slots) {
		real = slots[slot-1]
	}
	for _, t := range slices.Backward(live) {
		if t.Slot == real && t.Joined && t.Container != "" {
			return t, nil
		}
	}
	if n := v.Spec.Replicas; slot < 1 || slot > n {
		return Task{}, fmt.Errorf("the service has %d replicas; accepted: a slot from 1 to %d", n, n)
	}
	return Task{}, errors.New("no task of it runs now")
}

// Tasks lists the tasks of a service in the words of package cluster, and how many slots have one.
func (s State) Tasks(v Service) (list []cluster.Task, slots int) {
	present := map[int]bool{}
	for _, t := range s.Live(v.Spec.Name) {
		present[t.Slot] = true
		x := cluster.Task{Name: t.Name, Service: t.Service, Slot: t.Slot, Node: s.Nodes[t.Node].Name, Image: t.Image, State: t.state(),
			Error: cmp.Or(t.Fault(), t.Pending), Address: t.Address}
		if x.Error == "" && x.State == cluster.Starting {
			x.Error, _ = s.LastFault(t.Service, t.Slot)
		}
		list = append(list, x)
	}
	return list, len(present)
}

// state is that of a task which is not gone, in the words of package cluster.
func (t Task) state() cluster.TaskState {
	switch {
	case t.StopRequested():
		return cluster.Stopping
	case t.InRotation():
		return cluster.Running
	}
	return cluster.Starting
}

// Published are the addresses at which the published ports are reached: by the routing mesh at any node, of which the one of an ID is
// given; otherwise at the node of each task, which may have a port of its own.
func (s State) Published(v Service, mesh []int, node string) (list []string) {
	for _, port := range mesh {
		if here := s.Nodes[node].Address; here != "" {
			list = append(list, net.JoinHostPort(here, strconv.Itoa(port)))
		}
	}
	for _, t := range s.Live(v.Spec.Name) {
		for _, port := range t.Ports {
			if at := s.Nodes[t.Node].Address; t.Joined && !t.StopRequested() && at != "" {
				list = append(list, net.JoinHostPort(at, strconv.Itoa(port)))
			}
		}
	}
	return list
}
