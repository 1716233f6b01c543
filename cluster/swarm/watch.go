package swarm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/history"
)

// task is one replica's life, as the engine tells it. Everything in it belongs to the cluster's mutex.
type task struct {
	name    string
	s       *service
	slot    int
	node    string
	image   string
	address string // in the overlay, without port; "": none yet
	created time.Time
	version uint64 // of the service's forced updates
	engine  string // ID of the engine's service that it belongs to

	state     swarm.TaskState // observed
	desired   swarm.TaskState
	err       string
	pending   string // why it is not placed
	exit      int
	container string
	ports     []int // of its node, at which it is published alone

	started, joined, left, gone, killed bool
	pulled, ready, told                 bool      // its image is there; out of rotation, and could be in it; told to stop
	running                             time.Time // when it was seen running first
	last                                int       // number of the look in which it was seen last
}

// node is a machine of the Swarm.
type node struct {
	name    string
	address string
	down    bool
	drained bool // takes no tasks
	manager bool
}

// watch looks at tasks and nodes until ctx is done.
func (c *Cluster) watch(ctx context.Context) {
	for {
		c.mu.Lock()
		wait := slowPoll
		if c.busy > 0 {
			wait = quickPoll
		}
		c.mu.Unlock()
		begun := time.Now()
		err := c.observe(ctx)
		if ctx.Err() != nil {
			return
		}
		c.heard(err)
		// Looking must not keep the engine busy: at most a quarter of the time.
		timer := time.NewTimer(max(wait, 3*time.Since(begun)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// heard notes whether the engine answers, and warns when that changes.
func (c *Cluster) heard(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.silent.IsZero():
		c.silent = time.Now()
		c.emit(history.Warning, "", "", "message", fmt.Sprintf("the engine does not answer: %v; what happens meanwhile is seen when it does",
			err))
	case err == nil && !c.silent.IsZero():
		c.emit(history.Warning, "", "", "message", fmt.Sprintf("the engine answers again, after %s",
			time.Since(c.silent).Round(100*time.Millisecond)))
		c.silent = time.Time{}
	}
}

// Lost says that the engine has not answered for as long as a change may take; nil: it answers, or is waited for.
func (c *Cluster) Lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent.IsZero() || time.Since(c.silent) < c.config.Deadline {
		return nil
	}
	return fmt.Errorf("the engine has not answered for %s: start it, then remove what the run left: coinbench down --cluster swarm",
		time.Since(c.silent).Round(time.Second))
}

const askTimeout = 10 * time.Second

// observe looks once.
func (c *Cluster) observe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	nodes, err := c.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	all, err := c.engine.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("label", runLabel+"="+c.config.Run)})
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked++
	c.seeNodes(nodes.Items)
	byID := map[string]*service{}
	for _, s := range c.services {
		for _, id := range []string{s.id, s.beside} {
			if id != "" {
				byID[id] = s
			}
		}
	}
	slices.SortFunc(all.Items, func(a, b swarm.Task) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, x := range all.Items {
		if s := byID[x.ServiceID]; s != nil {
			c.see(s, x)
		}
	}
	c.tell()
	for _, s := range c.services {
		s.published = c.publishedNow(s)
	}
	c.prune()
	c.changed()
	return nil
}

func (c *Cluster) seeNodes(list []swarm.Node) {
	for _, n := range list {
		was, known := c.nodes[n.ID]
		is := node{name: n.Description.Hostname, address: n.Status.Addr, down: n.Status.State == swarm.NodeStateDown,
			manager: n.Spec.Role == swarm.NodeRoleManager, drained: n.Spec.Availability != swarm.NodeAvailabilityActive}
		if is.address == "0.0.0.0" && n.ManagerStatus != nil {
			is.address, _, _ = strings.Cut(n.ManagerStatus.Addr, ":")
		}
		c.nodes[n.ID] = is
		switch {
		case known && is.down && !was.down:
			c.emit(history.NodeDown, "", "", "node", is.name)
		case known && was.down && !is.down:
			c.emit(history.NodeReady, "", "", "node", is.name)
		}
	}
}

// see notes what the engine says of a task. The caller holds mu.
func (c *Cluster) see(s *service, x swarm.Task) {
	t := c.tasks[x.ID]
	if t == nil {
		slot := x.Slot
		if slot == 0 { // of a global service: one a node, in the order in which they are seen
			slot = c.place(s, x.NodeID)
		}
		place := nth(s.name, slot)
		c.numbers[place]++
		t = &task{name: fmt.Sprintf("%s#%d", place, c.numbers[place]), s: s, slot: slot, created: x.CreatedAt, version: x.Spec.ForceUpdate,
			engine: x.ServiceID}
		t.pulled = c.fetched[t.name]
		if spec := x.Spec.ContainerSpec; spec != nil {
			t.image = c.plain(spec.Image)
		}
		c.tasks[x.ID] = t
	}
	t.last = c.looked
	t.state, t.desired, t.err, t.pending = x.Status.State, x.DesiredState, x.Status.Err, ""
	if t.state == swarm.TaskStatePending {
		t.pending, t.err = x.Status.Err, ""
	}
	if x.NodeID != "" {
		t.node = x.NodeID
	}
	if status := x.Status.ContainerStatus; status != nil {
		t.container, t.exit = status.ContainerID, status.ExitCode
	}
	t.ports = nil
	for _, p := range x.Status.PortStatus.Ports {
		// once for IPv4, and once for IPv6
		if p.PublishMode == swarm.PortConfigPublishModeHost && p.PublishedPort > 0 && !slices.Contains(t.ports, int(p.PublishedPort)) {
			t.ports = append(t.ports, int(p.PublishedPort))
		}
	}
	for _, a := range x.NetworksAttachments {
		if a.Network.ID == c.network && len(a.Addresses) > 0 {
			t.address = a.Addresses[0].Addr().String()
		}
	}
}

// place is the slot of a global service's task.
func (c *Cluster) place(s *service, node string) int {
	most := 0
	for _, t := range c.tasks {
		if t.s == s {
			if t.node == node {
				return t.slot
			}
			most = max(most, t.slot)
		}
	}
	return most + 1
}

func ended(state swarm.TaskState) bool {
	switch state {
	case swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned:
		return true
	}
	return false
}

// over says that a task has ended, or can be taken to have: the engine forgot it, or its node is lost.
func (c *Cluster) over(t *task) bool {
	return ended(t.state) || t.last < c.looked || c.nodes[t.node].down && leaving(t)
}

// leaving says that a task is told to stop.
func leaving(t *task) bool { return ended(t.desired) }

// tell turns what was seen into events. Within one look the order is that of a rolling update: with stop-first a task ends
// before the next in its slot starts, and leaves after those before it have joined; with start-first the new one joins
// before the old one leaves.
func (c *Cluster) tell() {
	var news []*task
	for _, t := range c.tasks {
		if !t.gone {
			news = append(news, t)
		}
	}
	slices.SortFunc(news, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.s.name, b.s.name), cmp.Compare(a.slot, b.slot), a.created.Compare(b.created), cmp.Compare(a.name, b.name))
	})
	// Where the next is told to stop, the engine has taken those before it to be in rotation.
	onward := map[*service]bool{}
	for _, t := range news {
		if t.joined && !t.left && leaving(t) {
			onward[t.s] = true
		}
	}
	departures := func(which func(*task) bool) {
		for _, t := range news {
			if which(t) {
				c.depart(t)
			}
		}
	}
	arrivals := func(which func(*task) bool) {
		for _, t := range news {
			if which(t) {
				c.arrive(t, onward[t.s])
			}
		}
	}
	startFirst := func(t *task) bool { return t.s.spec.Update.Order == "start-first" }
	stopFirst := func(t *task) bool { return !startFirst(t) }
	departures(func(t *task) bool { return stopFirst(t) && c.over(t) })
	arrivals(stopFirst)
	departures(stopFirst)
	arrivals(startFirst)
	departures(startFirst)
}

const steady = 50 * time.Millisecond

// arrive tells of a task that has started or is in rotation now. The engine's word is taken for it where it acts on it.
func (c *Cluster) arrive(t *task, trusted bool) {
	if t.gone || c.over(t) {
		return
	}
	c.started(t)
	if t.state != swarm.TaskStateRunning || t.joined || leaving(t) {
		return
	}
	if t.running.IsZero() {
		t.running = time.Now()
	}
	// A task that gets unhealthy before it was ever healthy, and ends with status 0, is called running for a moment.
	if t.s.spec.Health == nil || trusted || time.Since(t.running) >= steady {
		if t.s.spec.Health != nil && !t.ready {
			c.emit(history.TaskHealthy, t.s.name, t.name)
		}
		if t.ready = true; t.engine == t.s.beside { // of the other set: out of rotation
			return
		}
		t.joined = true
		c.emit(history.TaskJoined, t.s.name, t.name)
	}
}

func (c *Cluster) started(t *task) {
	if !t.pulled && (t.state == swarm.TaskStateReady || t.state == swarm.TaskStateStarting || t.state == swarm.TaskStateRunning) {
		t.pulled = true
		c.emit(history.TaskPulled, t.s.name, t.name, "node", c.nodes[t.node].name)
	}
	if t.started || t.state != swarm.TaskStateStarting && t.state != swarm.TaskStateRunning {
		return
	}
	t.started = true
	version := cluster.ParseImage(t.image).Tag
	c.emit(history.TaskStarted, t.s.name, t.name, "image", t.image, "version", cmp.Or(t.s.spec.Environment["COIN_VERSION"], version),
		"node", c.nodes[t.node].name, "address", t.reach(), "container", t.container)
}

// reach is where a task serves, inside the overlay.
func (t *task) reach() string {
	listen, _ := t.s.spec.Listens()
	if t.address == "" || listen == 0 {
		return t.address
	}
	return t.address + ":" + strconv.Itoa(listen)
}

// depart tells of a task that leaves or has left.
func (c *Cluster) depart(t *task) {
	over := c.over(t)
	if t.gone || !over && !leaving(t) {
		return
	}
	if t.joined && !t.left {
		if strings.Contains(t.err, "unhealthy") {
			c.emit(history.TaskUnhealthy, t.s.name, t.name, "error", t.err)
		}
		c.emit(history.TaskLeft, t.s.name, t.name)
	}
	if !t.told && (leaving(t) || t.last < c.looked) && t.started && !t.killed && t.fault() == "" {
		c.emit(history.TaskStopping, t.s.name, t.name)
	}
	t.left, t.told = true, true
	if !over {
		return
	}
	t.gone = true
	fault := t.fault()
	if t.err == "" && c.nodes[t.node].down && !ended(t.state) {
		fault = fmt.Sprintf("its node %s is down", c.nodes[t.node].name)
	}
	if t.started || fault != "" {
		if !t.joined && strings.Contains(t.err, "unhealthy") {
			c.emit(history.TaskUnhealthy, t.s.name, t.name, "error", t.err)
		}
		c.emit(history.TaskGone, t.s.name, t.name, "exit", strconv.Itoa(t.exit), "error", fault, "node", c.nodes[t.node].name)
	}
}

// fault says what went wrong with a task; "": nothing that is known.
func (t *task) fault() string {
	switch t.state {
	case swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateOrphaned:
		return cmp.Or(t.err, string(t.state))
	case swarm.TaskStateComplete: // one that was told to stop is called shutdown
		text := "ended by itself with exit status " + strconv.Itoa(t.exit)
		if t.s.spec.Health != nil && !t.joined {
			text = "ended with exit status " + strconv.Itoa(t.exit) + " before it was healthy; its health check may have failed"
		}
		return text
	}
	return ""
}

// live lists the tasks of a service that are not gone, in the order of slots, the youngest of a slot last.
func (c *Cluster) live(s *service) []*task {
	var list []*task
	for _, t := range c.tasks {
		if t.s == s && !t.gone {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), a.created.Compare(b.created), cmp.Compare(a.name, b.name))
	})
	return list
}

// lastFault is what went wrong last with a slot (0: with any); "" nothing.
func (c *Cluster) lastFault(s *service, slot int) string {
	var last *task
	for _, t := range c.tasks {
		if t.s == s && (slot == 0 || t.slot == slot) && t.gone && t.fault() != "" && (last == nil || t.created.After(last.created)) {
			last = t
		}
	}
	if last == nil {
		return ""
	}
	return fmt.Sprintf("%s on %s: %s", last.name, cmp.Or(c.nodes[last.node].name, "no node"), last.fault())
}

// taskState is the state in the words of package cluster.
func (t *task) taskState() cluster.TaskState {
	switch {
	case t.gone && t.fault() != "":
		return cluster.Failed
	case t.gone:
		return cluster.Complete
	case leaving(t):
		return cluster.Stopping
	case t.joined && !t.left:
		return cluster.Running
	}
	return cluster.Starting
}

// prune forgets tasks that ended long ago, so that a long run does not grow: the newest few of each slot stay.
func (c *Cluster) prune() {
	const most = 2000
	if len(c.tasks) < most {
		return
	}
	for _, id := range slices.Collect(maps.Keys(c.tasks)) {
		if t := c.tasks[id]; t.gone && t.last < c.looked-1000 {
			delete(c.tasks, id)
		}
	}
}
