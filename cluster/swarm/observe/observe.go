// Package observe turns what an engine lists of a Swarm, answer after answer, into events, and into what is known of tasks and nodes.
//
// It is pure: (State, App, Answer, now) goes in, and (State, events) come out. It asks no engine, reads no clock, starts no goroutine and
// takes no lock; a State that was returned never changes, so that it may be read while the next one is made.
//
//	engine: services, nodes, tasks  ->  Look  ->  task.pulled, task.started, task.joined, task.left, task.gone, node.down, ...
//	what the harness does           ->  Kill, Cut, Switch, ...  ->  the same
//	State                           ->  Missing, Victim, Tasks, Published; Change reports what becomes of one
package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// App is what is deployed.
type App struct {
	Network  string // ID of the overlay
	Registry string // host:port in front of the names of its images; "": none
	Services []Service
}

// Service is a service as it shall be, and the engine's services that it is.
type Service struct {
	Spec    cluster.Service
	ID      string // of the set of tasks in rotation; "": not created yet
	Standby string // of the other set, while there is one
}

// Answer is what the engine lists. Services of other apps, and their tasks, may be among it.
type Answer struct {
	Services []swarm.Service
	Nodes    []swarm.Node
	Tasks    []swarm.Task
}

// Task is one replica's life, as the engine tells it.
type Task struct {
	ID      string
	Name    string // rng.3#2
	Service string
	Slot    int
	Node    string // ID; "": not placed yet
	Image   string // as the app names it
	Set     string // ID of the engine's service that it belongs to
	Force   uint64 // of the service's forced updates
	IP      string // in the overlay; "": none yet
	Address string // where it serves, in the overlay: host:port, or the host alone

	State     swarm.TaskState
	Desired   swarm.TaskState
	Error     string
	Pending   string // why it is not placed
	Exit      int
	Container string
	Ports     []int // of its node, at which it is published alone

	Started, Joined, Left, Gone, Killed bool
	Ready                               bool // could be in rotation

	version string    // of what it runs
	checked bool      // it has a health check
	process int       // of its container
	pulled  bool      // its image is there
	stopped bool      // told to stop, or gone: it is on record
	order   int       // in which tasks were seen first, whatever the engine's clock says
	since   time.Time // when that was
	running time.Time // when it was seen running first
	last    int       // the look in which it was seen last
}

// InRotation says whether connections are sent to the task.
func (t Task) InRotation() bool { return t.Joined && !t.Left }

// StopRequested says that the engine has told the task to stop, or is about to.
func (t Task) StopRequested() bool { return Ended(t.Desired) }

// Ended says that a task in a state runs no more, and never will.
func Ended(state swarm.TaskState) bool {
	switch state {
	case swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateRemove,
		swarm.TaskStateOrphaned:
		return true
	}
	return false
}

// Fault says what went wrong with a task; "": nothing that is known.
func (t Task) Fault() string {
	switch t.State {
	case swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateOrphaned:
		return cmp.Or(t.Error, string(t.State))
	case swarm.TaskStateComplete: // one that was told to stop is called shutdown
		if t.checked && !t.Joined {
			return fmt.Sprintf("ended with exit status %d before it was healthy; its health check may have failed", t.Exit)
		}
		return fmt.Sprintf("ended by itself with exit status %d", t.Exit)
	}
	return ""
}

// Node is a machine of the Swarm.
type Node struct {
	Name    string
	Address string
	Down    bool
	Drained bool // takes no tasks
	Manager bool
}

// State is what has been seen so far. The zero value has seen nothing.
type State struct {
	Looks int             // answers so far
	Nodes map[string]Node // by ID

	silent  time.Time // since when the engine has not answered; zero: it does
	tasks   map[string]*Task
	updates map[string]swarm.UpdateStatus // by the ID of the engine's service
	numbers map[string]int                // tasks so far of every slot, so that names are unique within a run
	fetched map[string]bool               // names of tasks to come whose image every node has already
	cut     map[string][]string           // IDs of the tasks on nodes that are cut off, by the node's name
	seen    int                           // tasks so far
}

// Forget is the state without an app. Names of tasks stay unique.
func (s State) Forget() State { return State{numbers: s.numbers} }

// step is a state in the making.
type step struct {
	State
	app    App
	now    time.Time
	events []history.Event
}

// begin copies what a step may change.
func (s State) begin() *step {
	tasks := make(map[string]*Task, len(s.tasks))
	for id, t := range s.tasks {
		own := *t
		tasks[id] = &own
	}
	clone := s
	clone.tasks = tasks
	clone.Nodes, clone.numbers, clone.fetched, clone.cut = copied(s.Nodes), copied(s.numbers), copied(s.fetched), copied(s.cut)
	return &step{State: clone}
}

func copied[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

func (w *step) end() (State, []history.Event) { return w.State, w.events }

// event puts an event: the one place where this package makes any.
func (w *step) event(service, task string, p event.Payload) {
	w.events = append(w.events, history.NewEvent(service, task, p))
}

func (w *step) of(t *Task, p event.Payload) { w.event(t.Service, t.Name, p) }

// Heard notes whether the engine has answered, and warns when that changes.
func (s State) Heard(err error, now time.Time) (State, []history.Event) {
	w := s.begin()
	switch {
	case err != nil && s.silent.IsZero():
		w.silent = now
		w.event("", "", event.Warning{Message: fmt.Sprintf("the engine does not answer: %v; what happens meanwhile is seen when it does", err)})
	case err == nil && !s.silent.IsZero():
		w.silent = time.Time{}
		w.event("", "", event.Warning{Message: fmt.Sprintf("the engine answers again, after %s", now.Sub(s.silent).Round(100*time.Millisecond))})
	}
	return w.end()
}

// Silent is for how long the engine has not answered; 0: it does.
func (s State) Silent(now time.Time) time.Duration {
	if s.silent.IsZero() {
		return 0
	}
	return now.Sub(s.silent)
}

// Look takes an answer up.
func (s State) Look(app App, a Answer, now time.Time) (State, []history.Event) {
	w := s.begin()
	w.app, w.now = app, now
	w.Looks++
	for _, n := range a.Nodes {
		w.node(n)
	}
	w.updates = map[string]swarm.UpdateStatus{}
	for _, x := range a.Services {
		if x.UpdateStatus != nil {
			w.updates[x.ID] = *x.UpdateStatus
		}
	}
	sets := map[string]Service{}
	for _, v := range app.Services {
		sets[v.ID], sets[v.Standby] = v, v
	}
	delete(sets, "")
	tasks := slices.SortedFunc(slices.Values(a.Tasks), func(a, b swarm.Task) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, x := range tasks {
		if v, ours := sets[x.ServiceID]; ours {
			w.task(v, x)
		}
	}
	w.deriveEvents()
	w.prune()
	return w.end()
}

func (w *step) node(n swarm.Node) {
	was, known := w.Nodes[n.ID]
	is := Node{Name: n.Description.Hostname, Address: n.Status.Addr, Down: n.Status.State == swarm.NodeStateDown,
		Manager: n.Spec.Role == swarm.NodeRoleManager, Drained: n.Spec.Availability != swarm.NodeAvailabilityActive}
	if is.Address == "0.0.0.0" && n.ManagerStatus != nil {
		is.Address, _, _ = strings.Cut(n.ManagerStatus.Addr, ":")
	}
	w.Nodes[n.ID] = is
	switch {
	case known && is.Down && !was.Down:
		w.event("", "", event.NodeDown{Node: is.Name})
	case known && was.Down && !is.Down:
		w.event("", "", event.NodeReady{Node: is.Name})
	}
}

// task notes what the engine says of a task.
func (w *step) task(v Service, x swarm.Task) {
	t := w.tasks[x.ID]
	if t == nil {
		t = w.first(v, x)
		w.tasks[x.ID] = t
	}
	t.last = w.Looks
	t.State, t.Desired, t.Error, t.Pending = x.Status.State, x.DesiredState, x.Status.Err, ""
	if t.State == swarm.TaskStatePending {
		t.Pending, t.Error = x.Status.Err, ""
	}
	if x.NodeID != "" {
		t.Node = x.NodeID
	}
	if status := x.Status.ContainerStatus; status != nil {
		t.Container, t.Exit, t.process = status.ContainerID, status.ExitCode, status.PID
	}
	t.Ports = nil
	for _, p := range x.Status.PortStatus.Ports {
		// once for IPv4, and once for IPv6
		if p.PublishMode == swarm.PortConfigPublishModeHost && p.PublishedPort > 0 && !slices.Contains(t.Ports, int(p.PublishedPort)) {
			t.Ports = append(t.Ports, int(p.PublishedPort))
		}
	}
	for _, a := range x.NetworksAttachments {
		if a.Network.ID == w.app.Network && len(a.Addresses) > 0 {
			t.IP = a.Addresses[0].Addr().String()
			t.Address = t.IP
			if listen, _ := v.Spec.Listens(); listen > 0 {
				t.Address += ":" + strconv.Itoa(listen)
			}
		}
	}
}

// first is a task that was not seen before.
func (w *step) first(v Service, x swarm.Task) *Task {
	slot := x.Slot
	if slot == 0 { // of a global service: one a node, in the order in which they are seen
		slot = w.place(v.Spec.Name, x.NodeID)
	}
	place := nth(v.Spec.Name, slot)
	w.numbers[place]++
	w.seen++
	t := &Task{ID: x.ID, Name: fmt.Sprintf("%s#%d", place, w.numbers[place]), Service: v.Spec.Name, Slot: slot, Force: x.Spec.ForceUpdate,
		Set: x.ServiceID, order: w.seen, since: w.now}
	t.pulled = w.fetched[t.Name]
	if c := x.Spec.ContainerSpec; c != nil {
		t.Image = PlainImage(w.app.Registry, c.Image)
		t.version = cluster.ParseImage(t.Image).Tag
		for _, entry := range c.Env {
			if own, ok := strings.CutPrefix(entry, "COIN_VERSION="); ok {
				t.version = own
			}
		}
		t.checked = checks(c.Healthcheck)
	}
	return t
}

func checks(h *container.HealthConfig) bool {
	return h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
}

func nth(service string, slot int) string { return fmt.Sprintf("%s.%d", service, slot) }

// place is the slot of a global service's task.
func (w *step) place(service, node string) int {
	last := 0
	for _, t := range w.tasks {
		if t.Service == service {
			if t.Node == node {
				return t.Slot
			}
			last = max(last, t.Slot)
		}
	}
	return last + 1
}

// PlainImage is an image's name as the app has it: without the registry (""; there is none) that it was pulled from, and without digest.
func PlainImage(registry, image string) string {
	image, _, _ = strings.Cut(image, "@")
	if own, ok := strings.CutPrefix(image, registry+"/"); ok && registry != "" {
		return strings.TrimPrefix(own, "library/")
	}
	return image
}

// prune forgets tasks that ended long ago, so that a long run does not grow: the newest few of each slot stay.
func (w *step) prune() {
	const most = 2000
	if len(w.tasks) < most {
		return
	}
	maps.DeleteFunc(w.tasks, func(_ string, t *Task) bool { return t.Gone && t.last < w.Looks-1000 })
}
