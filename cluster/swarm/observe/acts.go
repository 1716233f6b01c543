package observe

import (
	"fmt"
	"slices"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// Kill notes that a task is killed: it is not told to stop. down is how long its slot will be empty.
func (s State) Kill(id string, down time.Duration) (State, []history.Event) {
	w := s.begin()
	if t := w.tasks[id]; t != nil {
		t.Killed = true
		w.of(t, event.TaskKilled{Down: down})
	}
	return w.end()
}

// Spare takes back that a task was killed.
func (s State) Spare(id string) State {
	w := s.begin()
	if t := w.tasks[id]; t != nil {
		t.Killed = false
	}
	return w.State
}

// Pause notes that a task is frozen for a time.
func (s State) Pause(id string, d time.Duration) (State, []history.Event) {
	w := s.begin()
	if t := w.tasks[id]; t != nil {
		w.of(t, event.TaskPaused{For: d})
	}
	return w.end()
}

// Recover notes that tasks are what they were before a fault, those of them that are still there.
func (s State) Recover(ids ...string) (State, []history.Event) {
	w := s.begin()
	w.recover(ids)
	return w.end()
}

func (w *step) recover(ids []string) {
	for _, id := range ids {
		if t := w.tasks[id]; t != nil && !t.Gone {
			w.of(t, event.TaskRecovered{})
		}
	}
}

// Cut notes that a node is cut off for a time, by its ID.
func (s State) Cut(node string, d time.Duration) (State, []history.Event) {
	w := s.begin()
	name := w.Nodes[node].Name
	w.event("", "", event.NodeCut{Node: name, For: d})
	w.cut[name] = []string{}
	for _, t := range s.Present(func(t Task) bool { return t.Node == node && t.Started }) {
		w.cut[name] = append(w.cut[name], t.ID)
		w.of(&t, event.TaskCut{For: d, Node: name})
	}
	return w.end()
}

// IsCut lists the nodes that are cut off.
func (s State) IsCut() (names []string) {
	for name := range s.cut {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Mend notes that a node is cut off no longer, by its name. Of one that was not cut off it says nothing.
func (s State) Mend(name string) (State, []history.Event) {
	victims, cut := s.cut[name]
	if !cut {
		return s, nil
	}
	w := s.begin()
	delete(w.cut, name)
	w.event("", "", event.NodeMended{Node: name})
	w.recover(victims)
	return w.end()
}

// Drain and Activate note that a node takes no tasks from here, and that it does again.
func (s State) Drain(name string) (State, []history.Event) {
	return s.say(event.NodeDrained{Node: name})
}
func (s State) Activate(name string) (State, []history.Event) {
	return s.say(event.NodeActivated{Node: name})
}

func (s State) say(p event.Payload) (State, []history.Event) {
	w := s.begin()
	w.event("", "", p)
	return w.end()
}

// Fetch notes that every node has the image of the next task in each slot up to slots.
func (s State) Fetch(service string, slots int) (State, []history.Event) {
	w := s.begin()
	for slot := 1; slot <= slots; slot++ {
		place := nth(service, slot)
		name := fmt.Sprintf("%s#%d", place, w.numbers[place]+1)
		w.fetched[name] = true
		w.event(service, name, event.TaskPulled{})
	}
	return w.end()
}

// Switch notes that the set ID of a service is in rotation from here, and the set Standby is not.
func (s State) Switch(v Service) (State, []history.Event) {
	w := s.begin()
	for _, seen := range s.Live(v.Spec.Name) {
		t := w.tasks[seen.ID]
		switch {
		case t.Set == v.Standby && t.InRotation():
			t.Left = true
			w.of(t, event.TaskLeft{})
		case t.Set == v.ID && t.Ready && !t.StopRequested() && !t.InRotation():
			t.Joined, t.Left = true, false
			w.of(t, event.TaskJoined{})
		}
	}
	return w.end()
}
