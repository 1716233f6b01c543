package swarm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/history"
	"coinbench/history/event"
)

// How long a task of engine takes: nothing that the watcher's looks are in step with.
const (
	startTime = 1030 * time.Millisecond
	stopTime  = 2170 * time.Millisecond
)

// scripted is a Swarm's engine in a few lines, for tests in virtual time: tasks of an image with the tag bad fail instead of running, and
// an update replaces one after the other.
type scripted struct {
	mu       sync.Mutex
	services []*api.Service
	tasks    []*api.Task
	number   int
}

// RoundTrip answers the client.
func (e *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	status, body := e.answer(r)
	data, err := json.Marshal(body)
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(data)), Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Api-Version": {"1.41"}}}, err
}

func (e *scripted) answer(r *http.Request) (int, any) {
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1."), "/")
	var spec api.ServiceSpec
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&spec) // of what has one
	}
	id, verb, _ := strings.Cut(strings.TrimPrefix(path, "services/"), "/")
	i := slices.IndexFunc(e.services, func(s *api.Service) bool { return s.ID == id })
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		return http.StatusOK, "OK"
	case path == "info":
		return http.StatusOK, system.Info{Swarm: api.Info{NodeID: "n1", LocalNodeState: api.LocalNodeStateActive, ControlAvailable: true}}
	case path == "networks":
		return http.StatusOK, []network.Summary{}
	case path == "nodes":
		return http.StatusOK, []api.Node{{ID: "n1", Description: api.NodeDescription{Hostname: "node1"}, Status: api.NodeStatus{
			State: api.NodeStateReady, Addr: "10.0.0.1"}, Spec: api.NodeSpec{Availability: api.NodeAvailabilityActive}}}
	case path == "services":
		return http.StatusOK, e.services
	case path == "tasks":
		return http.StatusOK, e.tasks
	case i < 0:
		return http.StatusNotFound, map[string]string{"message": "no such thing: " + r.Method + " " + r.URL.Path}
	case verb == "update":
		e.update(e.services[i], spec)
		return http.StatusOK, api.ServiceUpdateResponse{}
	}
	return http.StatusOK, e.services[i]
}

func (e *scripted) create(spec api.ServiceSpec) {
	e.number++
	s := &api.Service{ID: fmt.Sprint("s", e.number), Spec: spec, Endpoint: api.Endpoint{}}
	e.services = append(e.services, s)
	e.scale(s)
}

func (e *scripted) scale(s *api.Service) {
	for slot := 1; slot <= max(int(*s.Spec.Mode.Replicated.Replicas), len(e.tasks)); slot++ {
		switch t := e.current(s, slot); {
		case slot > int(*s.Spec.Mode.Replicated.Replicas) && t != nil:
			go e.stop(t)
		case slot <= int(*s.Spec.Mode.Replicated.Replicas) && t == nil:
			go e.run(e.begin(s, slot))
		}
	}
}

func (e *scripted) current(s *api.Service, slot int) *api.Task {
	for _, t := range e.tasks {
		if t.ServiceID == s.ID && t.Slot == slot && t.DesiredState == api.TaskStateRunning {
			return t
		}
	}
	return nil
}

func (e *scripted) begin(s *api.Service, slot int) *api.Task {
	e.number++
	t := &api.Task{ID: fmt.Sprint("t", e.number), ServiceID: s.ID, Slot: slot, NodeID: "n1", Spec: s.Spec.TaskTemplate,
		DesiredState: api.TaskStateRunning, Status: api.TaskStatus{State: api.TaskStateStarting}}
	t.CreatedAt = time.Now()
	t.NetworksAttachments = []api.NetworkAttachment{{Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24")}}}
	e.tasks = append(e.tasks, t)
	return t
}

func (e *scripted) run(t *api.Task) (failed bool) {
	time.Sleep(startTime)
	e.mu.Lock()
	defer e.mu.Unlock()
	t.Status.State = api.TaskStateRunning
	if strings.HasSuffix(t.Spec.ContainerSpec.Image, ":bad") {
		t.Status.State, t.Status.Err, t.DesiredState = api.TaskStateFailed, "task: non-zero exit (1)", api.TaskStateShutdown
		return true
	}
	return false
}

func (e *scripted) stop(t *api.Task) {
	e.mu.Lock()
	t.DesiredState = api.TaskStateShutdown
	e.mu.Unlock()
	time.Sleep(stopTime)
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.Status.State != api.TaskStateFailed {
		t.Status.State = api.TaskStateShutdown
	}
}

// update is what an engine does with another description of a service.
func (e *scripted) update(s *api.Service, spec api.ServiceSpec) {
	was := s.Spec
	s.Version.Index++
	s.PreviousSpec, s.Spec, s.UpdateStatus = &was, spec, nil
	if *was.Mode.Replicated.Replicas != *spec.Mode.Replicated.Replicas {
		e.scale(s)
	}
	go e.roll(s, s.Version.Index, false)
}

func same(a, b api.TaskSpec) bool {
	return a.ForceUpdate == b.ForceUpdate && a.ContainerSpec.Image == b.ContainerSpec.Image && slices.Equal(a.ContainerSpec.Env, b.ContainerSpec.Env)
}

// roll replaces tasks, until another update takes its place.
func (e *scripted) roll(s *api.Service, version uint64, back bool) {
	begun := false
	say := func(state, ofBack api.UpdateState, message string) {
		if back {
			state = ofBack
		}
		s.UpdateStatus = &api.UpdateStatus{State: state, Message: message}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for slot := 1; slot <= int(*s.Spec.Mode.Replicated.Replicas); slot++ {
		old := e.current(s, slot)
		if old != nil && same(old.Spec, s.Spec.TaskTemplate) {
			continue
		}
		if !begun {
			begun = true
			say(api.UpdateStateUpdating, api.UpdateStateRollbackStarted, "in progress")
		}
		e.mu.Unlock()
		if old != nil {
			e.stop(old)
		}
		e.mu.Lock()
		t, delay := e.begin(s, slot), s.Spec.UpdateConfig.Delay
		e.mu.Unlock()
		failed := e.run(t)
		if !failed {
			time.Sleep(delay)
		}
		e.mu.Lock()
		switch {
		case s.Version.Index != version:
			return
		case failed && !back && s.Spec.UpdateConfig.FailureAction == api.UpdateFailureActionRollback:
			s.Spec, s.PreviousSpec = *s.PreviousSpec, nil
			go e.roll(s, version, true)
			return
		case failed:
			say(api.UpdateStatePaused, api.UpdateStateRollbackPaused, "a task failed early")
			return
		}
	}
	if begun {
		say(api.UpdateStateCompleted, api.UpdateStateRollbackCompleted, "completed")
	}
}

// attached is a cluster whose app, rng with three replicas, was brought up on an engine in a few lines.
func attached(t *testing.T, sink cluster.Sink) *Cluster {
	t.Helper()
	e := &scripted{}
	c, err := client.New(client.WithHost("tcp://engine.invalid:2375"), client.WithHTTPClient(&http.Client{Transport: e}),
		client.WithAPIVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	maker, err := New(engine.New(c, engine.Options{Keep: true}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	maker.app.Name = "app"
	rng := cluster.Service{Name: "rng", Image: "coinbench/rng:v1", Replicas: 3, StopGrace: 10 * time.Second, Restart: cluster.Restart{Condition: "any"},
		Update:   cluster.Rollout{Parallelism: 1, Delay: 5 * time.Second, Order: "stop-first", Monitor: 5 * time.Second, FailureAction: "rollback"},
		Rollback: cluster.Rollout{Parallelism: 1, Order: "stop-first", Monitor: 5 * time.Second, FailureAction: "pause"}}
	s := &service{c: maker, spec: rng}
	maker.settle(s)
	e.create(maker.describe(s, 0))
	a, err := New(engine.New(c, engine.Options{}), Config{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	if err := a.Attach(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.stopWatching() })
	return a
}

// told keeps events as text.
type told struct {
	mu     sync.Mutex
	events []history.Event
}

func (k *told) take(e history.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, e)
}

// rollouts are what is told of rollouts since the last call.
func (k *told) rollouts() (list []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.events {
		switch p := e.Payload.(type) {
		case event.RolloutBegin:
			text := fmt.Sprintf("begin %s %d", p.Strategy, p.Tasks)
			if p.Rollback {
				text += " back"
			}
			list = append(list, text)
		case event.RolloutSlot:
			list = append(list, fmt.Sprint("slot ", p.Slot))
		case event.RolloutEnd:
			list = append(list, "end "+string(p.Outcome))
		case event.ServiceUpdated:
			list = append(list, p.Image)
		}
	}
	k.events = nil
	return list
}
