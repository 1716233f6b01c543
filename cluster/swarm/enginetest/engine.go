// Package enginetest is an engine of a Swarm for tests: it answers a client as API 1.41 does, over connections in memory, and plays the
// images of coinbench by a few lines each. It needs no engine, no root and no network, and takes its time from a bubble of
// testing/synctest.
//
// What an engine decides by itself is as swarmkit does it where package cluster/clustertest looks: rolling updates, watched for failures,
// restarts, global services, draining. It is no reference of that: what real ones list is recorded in cluster/swarm/observe.
package enginetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"coinbench/cluster"
)

// Engine is a manager's engine, of two nodes.
type Engine struct {
	Lacks   func(image string) bool         // which images are nowhere; nil: none
	Refuses func(image string) (why string) // which images no registry takes now; nil: none
	Prints  string                          // lines that every container prints when it starts
	Gossip  time.Duration                   // for which a task runs before the overlay's DNS knows it

	mu         sync.Mutex
	number     int
	nodes      []*swarm.Node
	networks   map[string]named // by ID
	services   []*service
	tasks      []*task
	containers map[string]*container // relays, by ID
	listeners  map[string]func(net.Conn)
	life       context.Context
	turns      int
	images     []string // names of those that were loaded, tagged or committed
	pushed     []string
	volumes    map[string]volume.Volume
	lives      sync.WaitGroup
}

type named struct {
	name   string
	labels map[string]string
}

type service struct {
	swarm.Service
	roll    int // number of the update in progress
	failed  func(*task)
	waiting int // slots that wait for a successor: a real engine has made it already, and replaces it
}

type task struct {
	swarm.Task
	of      *service
	c       *container
	stop    context.CancelCauseFunc
	stopped context.Context
	ended   chan struct{}
	running time.Time
}

// New returns an engine that ends with the test, and a client of it.
func New(t testing.TB) (*Engine, *client.Client) {
	t.Helper()
	life, end := context.WithCancel(context.Background())
	e := &Engine{networks: map[string]named{}, volumes: map[string]volume.Volume{}, containers: map[string]*container{},
		listeners: map[string]func(net.Conn){}, life: life}
	for i := 1; i <= 2; i++ {
		n := &swarm.Node{ID: fmt.Sprint("n", i), Description: swarm.NodeDescription{Hostname: fmt.Sprint("node", i),
			Engine: swarm.EngineDescription{EngineVersion: "20.10.24"}},
			Status: swarm.NodeStatus{State: swarm.NodeStateReady, Addr: fmt.Sprint("10.9.0.", i)},
			Spec:   swarm.NodeSpec{Availability: swarm.NodeAvailabilityActive, Role: swarm.NodeRoleWorker}}
		e.nodes = append(e.nodes, n)
	}
	e.nodes[0].Spec.Role = swarm.NodeRoleManager
	l := &listener{conns: make(chan net.Conn), done: life.Done()}
	server := &http.Server{Handler: e.handler()}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	c, err := client.New(client.WithHost("tcp://engine.invalid:2375"), client.WithAPIVersion("1.41"),
		client.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		e.lives.Wait()
		c.Close()
		server.Close()
		<-served
	})
	return e, c
}

// Handler answers as the engine does where there is a network.
func (e *Engine) Handler() http.Handler { return e.handler() }

// listener accepts connections in memory.
type listener struct {
	conns chan net.Conn
	done  <-chan struct{}
}

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Accept returns the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close does nothing: a listener ends with its engine.
func (l *listener) Close() error { return nil }

// Addr is of no network.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (e *Engine) id() string {
	e.number++
	return fmt.Sprintf("%025d", e.number)
}

// sleep ends early with the engine, or with a task that is told to stop.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// How long a task takes to be made, to boot and to end, and an update to turn to it: nothing that the watcher's looks are in step with.
const (
	turnTime    = 7 * time.Millisecond
	prepareTime = 30 * time.Millisecond
	bootTime    = 40 * time.Millisecond
	stopTime    = 20 * time.Millisecond
)

// wanted is whether a task shall run on.
func (t *task) wanted() bool { return t.DesiredState == swarm.TaskStateRunning }

// current are the tasks of a service that shall run.
func (e *Engine) current(s *service) (list []*task) {
	for _, t := range e.tasks {
		if t.of == s && t.wanted() {
			list = append(list, t)
		}
	}
	return list
}

// reconcile makes as many tasks as a service shall have. The caller holds mu.
func (e *Engine) reconcile(s *service) {
	have := e.current(s)
	if s.Spec.Mode.Global != nil {
		for _, n := range e.nodes {
			on := func(t *task) bool { return t.NodeID == n.ID }
			if n.Spec.Availability == swarm.NodeAvailabilityActive && !slices.ContainsFunc(have, on) {
				e.begin(s, 0, n.ID)
			}
		}
		return
	}
	slots := map[int]bool{}
	for _, t := range have {
		slots[t.Slot] = true
	}
	n := int(*s.Spec.Mode.Replicated.Replicas)
	for slot := 1; len(slots) < n; slot++ {
		if !slots[slot] {
			slots[slot] = true
			e.begin(s, slot, "")
		}
	}
	for len(slots) > n {
		last := 0
		for slot := range slots {
			last = max(last, slot)
		}
		delete(slots, last)
		for _, t := range have {
			if t.Slot == last {
				t.end(swarm.TaskStateRemove)
			}
		}
	}
}

// end tells a task to stop.
func (t *task) end(desired swarm.TaskState) {
	t.DesiredState = desired
	t.stop(nil)
}

// begin makes a task. The caller holds mu.
func (e *Engine) begin(s *service, slot int, node string) *task {
	e.number++
	t := &task{of: s, ended: make(chan struct{})}
	t.stopped, t.stop = context.WithCancelCause(e.life)
	t.ID, t.ServiceID, t.Slot, t.NodeID = fmt.Sprint("t", e.number), s.ID, slot, node
	t.CreatedAt, t.DesiredState, t.Spec = time.Now(), swarm.TaskStateRunning, s.Spec.TaskTemplate
	t.Status.State = swarm.TaskStateNew
	e.tasks = append(e.tasks, t)
	e.lives.Go(func() { e.live(t) })
	return t
}

// place finds a task a node.
func (e *Engine) place(t *task) bool {
	if t.NodeID != "" {
		return true
	}
	var fit []string
	for _, n := range e.nodes {
		ok := n.Spec.Availability == swarm.NodeAvailabilityActive
		if p := t.Spec.Placement; p != nil {
			for _, c := range p.Constraints {
				ok = ok && (c == "node.id=="+n.ID || strings.HasPrefix(c, "node.hostname!=") && c != "node.hostname!="+n.Description.Hostname)
			}
		}
		if ok {
			fit = append(fit, n.ID)
		}
	}
	if len(fit) == 0 {
		return false
	}
	e.turns++
	t.NodeID = fit[e.turns%len(fit)]
	return true
}

// live is a task's life.
func (e *Engine) live(t *task) {
	defer close(t.ended)
	state, fault := e.lived(t)
	e.mu.Lock()
	if t.c != nil {
		e.close(t.c)
	}
	t.Status.State, t.Status.Err = state, fault
	asked := !t.wanted()
	if !asked {
		t.DesiredState = swarm.TaskStateShutdown
		if t.of.failed != nil {
			t.of.failed(t)
		}
	}
	s, delay := t.of, 5*time.Second
	again := s.Spec.TaskTemplate.RestartPolicy
	if again != nil && again.Delay != nil {
		delay = *again.Delay
	}
	defer e.mu.Unlock()
	if asked || again != nil && again.Condition == swarm.RestartPolicyConditionNone {
		return
	}
	s.waiting++
	e.mu.Unlock()
	on := sleep(e.life, delay)
	e.mu.Lock()
	s.waiting--
	if on && slices.Contains(e.services, s) {
		e.reconcile(s)
	}
}

func (e *Engine) lived(t *task) (state swarm.TaskState, fault string) {
	says := func(state swarm.TaskState, message string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		t.Status.State, t.Status.Err = state, message
	}
	for {
		e.mu.Lock()
		placed := e.place(t)
		e.mu.Unlock()
		if placed {
			break
		}
		says(swarm.TaskStatePending, fmt.Sprintf("no suitable node (scheduling constraints not satisfied on %d nodes)", len(e.nodes)))
		if !sleep(t.stopped, prepareTime) {
			return swarm.TaskStateShutdown, ""
		}
	}
	says(swarm.TaskStatePreparing, "")
	if !sleep(t.stopped, prepareTime) {
		return swarm.TaskStateShutdown, ""
	}
	image := t.Spec.ContainerSpec.Image
	if e.Lacks != nil && e.Lacks(image) {
		return swarm.TaskStateRejected, "No such image: " + image
	}
	e.mu.Lock()
	t.c = e.open(t)
	t.Status.ContainerStatus = &swarm.ContainerStatus{ContainerID: t.c.id}
	address := netip.MustParsePrefix(t.c.ip + "/24")
	if networks := t.Spec.Networks; len(networks) > 0 {
		t.NetworksAttachments = []swarm.NetworkAttachment{{Network: swarm.Network{ID: networks[0].Target}, Addresses: []netip.Prefix{address}}}
	}
	e.mu.Unlock()
	says(swarm.TaskStateStarting, "")
	if !sleep(t.stopped, bootTime) {
		return swarm.TaskStateShutdown, ""
	}
	if h := t.Spec.ContainerSpec.Healthcheck; h != nil && len(h.Test) > 0 && h.Test[0] != "NONE" {
		checks := max(h.Retries, 1)
		for !e.healthy(t.c, h.Test) && checks > 0 {
			if checks--; !sleep(t.stopped, h.Interval) {
				return swarm.TaskStateShutdown, ""
			}
		}
		if checks == 0 {
			return swarm.TaskStateFailed, "task: non-zero exit (137): dockerexec: unhealthy container"
		}
	}
	e.mu.Lock()
	t.Status.State, t.Status.ContainerStatus.PID, t.running = swarm.TaskStateRunning, 4242, time.Now()
	for _, p := range t.of.Spec.EndpointSpec.Ports {
		if p.PublishMode == swarm.PortConfigPublishModeHost {
			p.PublishedPort = max(p.PublishedPort, 30000)
			t.Status.PortStatus.Ports = append(t.Status.PortStatus.Ports, p)
		}
	}
	e.mu.Unlock()
	select {
	case <-t.stopped.Done():
		time.Sleep(stopTime)
		return swarm.TaskStateShutdown, ""
	case code := <-t.c.exit:
		if code == 0 {
			return swarm.TaskStateComplete, ""
		}
		return swarm.TaskStateFailed, fmt.Sprintf("task: non-zero exit (%d)", code)
	}
}

// update gives a service another description. The caller holds mu.
func (e *Engine) update(s *service, spec swarm.ServiceSpec) {
	was := s.Spec
	s.Version.Index++
	s.PreviousSpec, s.Spec, s.UpdateStatus = &was, spec, nil
	s.roll++
	e.reconcile(s)
	roll := s.roll
	e.lives.Go(func() { e.replace(s, roll, false) })
}

func same(a, b swarm.TaskSpec) bool {
	return a.ForceUpdate == b.ForceUpdate && a.ContainerSpec.Image == b.ContainerSpec.Image &&
		slices.Equal(a.ContainerSpec.Env, b.ContainerSpec.Env)
}

// replace is a rolling update, or the way back from one, until another takes its place.
func (e *Engine) replace(s *service, roll int, back bool) {
	e.mu.Lock()
	rules := s.Spec.UpdateConfig
	say := func(state, ofBack swarm.UpdateState, message string) {
		if back {
			state = ofBack
		}
		now := time.Now()
		s.UpdateStatus = &swarm.UpdateStatus{State: state, Message: message, StartedAt: &now}
	}
	if back {
		rules = s.Spec.RollbackConfig
	}
	var dirty []*task
	for _, t := range e.current(s) {
		if !same(t.Spec, s.Spec.TaskTemplate) {
			dirty = append(dirty, t)
		}
	}
	slices.SortStableFunc(dirty, func(a, b *task) int { return a.Slot - b.Slot }) // a real one takes them in any order
	if len(dirty)+s.waiting == 0 && !back || s.roll != roll {
		e.mu.Unlock()
		return
	}
	say(swarm.UpdateStateUpdating, swarm.UpdateStateRollbackStarted, "update in progress")
	watched := max(rules.Monitor, rules.Delay)
	failures, halted := 0, false
	// The caller of failed holds mu.
	s.failed = func(t *task) {
		if s.roll != roll || halted || !same(t.Spec, s.Spec.TaskTemplate) || !t.running.IsZero() && time.Since(t.running) > watched {
			return
		}
		failures++
		if float32(failures)/float32(len(dirty)) <= rules.MaxFailureRatio || rules.FailureAction == swarm.UpdateFailureActionContinue {
			return
		}
		halted = true
		s.roll++
		message := "update paused due to failure or early termination of task " + t.ID
		if rules.FailureAction == swarm.UpdateFailureActionRollback && !back {
			s.Spec, s.PreviousSpec = *s.PreviousSpec, nil
			s.Version.Index++
			roll := s.roll
			e.lives.Go(func() { e.replace(s, roll, true) })
			return
		}
		say(swarm.UpdateStatePaused, swarm.UpdateStateRollbackPaused, message)
	}
	e.mu.Unlock()
	slots := make(chan *task, len(dirty))
	for _, t := range dirty {
		slots <- t
	}
	close(slots)
	workers := int(rules.Parallelism)
	if workers == 0 {
		workers = len(dirty)
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for old := range slots {
				if !sleep(e.life, turnTime) || !e.renew(s, roll, old, rules.Order == "start-first") || !sleep(e.life, rules.Delay) {
					return
				}
			}
		})
	}
	wg.Wait()
	if !sleep(e.life, watched) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.roll == roll && !halted {
		say(swarm.UpdateStateCompleted, swarm.UpdateStateRollbackCompleted, "update completed")
	}
}

// renew puts a new task in the place of another, and says whether the update goes on.
func (e *Engine) renew(s *service, roll int, old *task, first bool) bool {
	e.mu.Lock()
	if s.roll != roll {
		e.mu.Unlock()
		return false
	}
	node := ""
	if s.Spec.Mode.Global != nil {
		node = old.NodeID
	}
	// One that start-first has left is as good as a new one.
	if slices.ContainsFunc(e.current(s), func(t *task) bool { return t.Slot == old.Slot && t.Slot > 0 && same(t.Spec, s.Spec.TaskTemplate) }) {
		old.end(swarm.TaskStateShutdown)
		e.mu.Unlock()
		return true
	}
	if !first {
		old.end(swarm.TaskStateShutdown)
		e.mu.Unlock()
		<-old.ended
		e.mu.Lock()
	}
	young := e.begin(s, old.Slot, node)
	e.mu.Unlock()
	for {
		e.mu.Lock()
		up, over := !young.running.IsZero(), !young.wanted()
		goes := s.roll == roll
		if up && first {
			old.end(swarm.TaskStateShutdown)
		}
		e.mu.Unlock()
		if up || over {
			return goes
		}
		if !sleep(e.life, prepareTime) {
			return false
		}
	}
}

// plain is what a task runs, in the words of package cluster.
func plain(spec *swarm.ContainerSpec) cluster.Service {
	env := map[string]string{}
	for _, entry := range spec.Env {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	image, _, _ := strings.Cut(spec.Image, "@")
	return cluster.Service{Image: image, Environment: env}
}
