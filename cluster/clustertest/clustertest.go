// Package clustertest is the conformance suite for clusters: what cluster.Cluster promises, as tests.
//
// In goes a function that makes a cluster with nothing deployed, and an App for it. The suite deploys, scales, updates and kills,
// and judges by the cluster's answers, by the events that it reports and by real requests to its addresses.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// Service is the service that the suite works on. It must answer GET / with an X-Coinbench-Replica header.
const Service = "rng"

// patience is how long the suite waits for what must happen sooner.
const patience = 60 * time.Second

// New makes a cluster with nothing deployed, which reports to the sink, and an App that it can run, with the service
// Service, one that depends on it, and redis. It cleans up by itself what Remove does not.
type New func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App)

// Run runs the suite.
func Run(t *testing.T, make New) {
	RunIn(t, func(t *testing.T, test func(*testing.T)) { test(t) }, make)
}

// RunIn runs every test of the suite within another function, such as synctest.Test.
func RunIn(t *testing.T, within func(*testing.T, func(*testing.T)), make New) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f *fixture)
	}{
		{"deploy", deploy},
		{"scale", scale},
		{"balance", balance},
		{"a turn for each client", turns},
		{"update", update},
		{"update that fails is rolled back", rollsBack},
		{"start-first that fails leaves the old", keepsOld},
		{"rollback twice returns", rollbackTwice},
		{"scale, then rollback", scaledThenBack},
		{"image that is nowhere", missingImage},
		{"delay longer than monitor", watchedForTheDelay},
		{"failures up to the ratio", failureRatio},
		{"constraint that no node meets", constraint},
		{"global", globalHasNoNumber},
		{"restart", restart},
		{"blue-green", blueGreen},
		{"blue-green that fails is undone", blueGreenUndone},
		{"some slots", someSlots},
		{"pull first", pullFirst},
		{"pause and slow", pauseAndSlow},
		{"update of the balance replaces nothing", balanceOnly},
		{"kill", kill},
		{"kill in rotation", killInRotation},
		{"kill in rotation ends", killInRotationEnds},
		{"counters", counters},
		{"remove", remove},
		{"faults of the caller", faults},
		{"context", contextEnds},
		{"concurrent changes", concurrent},
	} {
		t.Run(test.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				f := &fixture{}
				f.Cluster, f.app = make(t, f.Add)
				t.Cleanup(func() {
					if err := f.Remove(context.Background()); err != nil {
						t.Errorf("remove: %v", err)
					}
					evidence(t, f.List())
					if t.Failed() {
						for _, e := range f.List() {
							t.Logf("%s %s %s %v", e.Payload.Kind(), e.Service, e.Task, e.Detail())
						}
					}
				})
				test.run(t, f)
			})
		})
	}
}

// fixture is a cluster under test, and what it said.
type fixture struct {
	cluster.Cluster
	Events
	app cluster.App
}

// since returns the events of Service after the first n.
func (f *fixture) since(n int) []history.Event {
	return slices.DeleteFunc(f.List()[n:], func(e history.Event) bool { return e.Service != Service })
}

// deploy brings the app up with the given replicas of Service, and none of what depends on it: most tests need no more.
func (f *fixture) deploy(t *testing.T, replicas int) {
	t.Helper()
	for _, s := range f.app.Services {
		if slices.Contains(s.DependsOn, Service) {
			none := 0
			app, err := f.app.With(s.Name, &none, cluster.Change{})
			if err != nil {
				t.Fatal(err)
			}
			f.app = app
		}
	}
	f.deployAll(t, replicas)
}

// deployAll brings all of the app up, with the given replicas of Service.
func (f *fixture) deployAll(t *testing.T, replicas int) {
	t.Helper()
	app, err := f.app.With(Service, &replicas, cluster.Change{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Deploy(t.Context(), app); err != nil {
		t.Fatalf("deploy: %v", err)
	}
}

func (f *fixture) status(t *testing.T) cluster.ServiceStatus {
	t.Helper()
	all, err := f.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == Service {
			return s
		}
	}
	t.Fatalf("status without %s", Service)
	return cluster.ServiceStatus{}
}

// ask makes one request on a new connection and returns the replica and the version that answered.
func (f *fixture) ask(t *testing.T) (replica, version string, err error) {
	t.Helper()
	address, err := f.Address(t.Context(), Service)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if d, ok := f.Cluster.(cluster.Dialer); ok {
		transport.DialContext = d.Dial
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	answer, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", "", err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.Header.Get("X-Coinbench-Replica"), answer.Header.Get("X-Coinbench-Version"), err
}

// shares asks n times and counts by replica.
func (f *fixture) shares(t *testing.T, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		replica, _, err := f.ask(t)
		if err != nil {
			t.Fatalf("request: %v", err)
		}
		counts[replica]++
	}
	return counts
}

// enough is how many connections surely reach every one of n replicas.
func (f *fixture) enough(t *testing.T, n int) int {
	if f.status(t).Balance == cluster.Random {
		return 20 * n
	}
	return 2 * n
}

// eventually waits for a condition, by the cluster's clock.
func (f *fixture) eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := f.Now().Add(patience); !condition(); {
		if f.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		if err := f.Sleep(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// spawn starts a goroutine that uses the cluster, too; wait waits for its end.
func (f *fixture) spawn(do func()) (wait func()) {
	if p, ok := f.Cluster.(cluster.VirtualClock); ok {
		return p.Go(do)
	}
	var wg sync.WaitGroup
	wg.Go(do)
	return wg.Wait
}

// kinds lists what happened to a task.
func kinds(events []history.Event, task string) []event.Kind {
	var list []event.Kind
	for _, e := range events {
		if e.Task == task {
			list = append(list, e.Payload.Kind())
		}
	}
	return list
}

// inOrder says whether the kinds stand in the list in this order; others may stand between.
func inOrder(list []event.Kind, want ...event.Payload) bool {
	for _, k := range list {
		if len(want) > 0 && k == want[0].Kind() {
			want = want[1:]
		}
	}
	return len(want) == 0
}

func index(events []history.Event, kind event.Payload, task string) int {
	return slices.IndexFunc(events, func(e history.Event) bool { return e.Is(kind) && e.Task == task })
}

// said is the first payload of a type that the service or one of its tasks has on record.
func said[P event.Payload](t *testing.T, events []history.Event, task string) (p P) {
	t.Helper()
	n := index(events, p, task)
	if n < 0 {
		t.Fatalf("no %s of %q in %v", p.Kind(), task, events)
	}
	return events[n].Payload.(P)
}

func deploy(t *testing.T, f *fixture) {
	if err := f.Check(f.app); err != nil {
		t.Fatalf("check: %v", err)
	}
	f.deployAll(t, 3)
	s := f.status(t)
	if s.Running != 3 || len(s.Tasks) != 3 || s.Replicas != 3 {
		t.Errorf("status is %d running of %d tasks, %d replicas; want 3 of each", s.Running, len(s.Tasks), s.Replicas)
	}
	for i, task := range s.Tasks {
		if task.State != cluster.Running || task.Slot != i+1 || task.Name != fmt.Sprintf("%s.%d#1", Service, i+1) {
			t.Errorf("task %+v; want %s.%d#1, running", task, Service, i+1)
		}
		if k := kinds(f.List(), task.Name); !inOrder(k, event.TaskStarted{}, event.TaskJoined{}) {
			t.Errorf("%s: events %v; want it started, then in rotation", task.Name, k)
		}
		if said[event.TaskStarted](t, f.List(), task.Name).Version == "" {
			t.Errorf("%s has no version on record", task.Name)
		}
	}
	all, _ := f.Status(t.Context())
	for i, s := range f.app.Services {
		if i >= len(all) || all[i].Name != s.Name {
			t.Fatalf("status is not in the order of the app")
		}
	}
	// What depends on a service starts after it has converged.
	events := f.List()
	for _, s := range f.app.Services {
		for _, d := range s.DependsOn {
			begun := slices.IndexFunc(events, func(e history.Event) bool { return e.Is(event.TaskStarted{}) && e.Service == s.Name })
			up := slices.IndexFunc(events, func(e history.Event) bool { return e.Is(event.TaskJoined{}) && e.Service == d })
			if up < 0 || begun < up {
				t.Errorf("%s started before %s was in rotation", s.Name, d)
			}
		}
		if n := slices.IndexFunc(events, func(e history.Event) bool {
			p, ok := e.Payload.(event.ServiceDeployed)
			return ok && e.Service == s.Name && p.Image == s.Image
		}); n < 0 {
			t.Errorf("no %s for %s", event.ServiceDeployed{}.Kind(), s.Name)
		}
	}
	if _, _, err := f.ask(t); err != nil {
		t.Errorf("the address does not answer: %v", err)
	}
	if err := f.Deploy(t.Context(), f.app); err == nil {
		t.Error("a second deploy succeeds")
	}
}

func scale(t *testing.T, f *fixture) {
	f.deploy(t, 1)
	for _, n := range []int{4, 2, 0, 1} {
		before := len(f.List())
		from := f.status(t).Replicas
		if err := f.Scale(t.Context(), Service, n); err != nil {
			t.Fatalf("scale to %d: %v", n, err)
		}
		if s := f.status(t); s.Running != n || len(s.Tasks) != n {
			t.Errorf("scaled to %d: %d running, %d tasks", n, s.Running, len(s.Tasks))
		}
		events := f.since(before)
		last := events[len(events)-1]
		if p, ok := last.Payload.(event.ServiceScaled); !ok || p.From != from || p.To != n {
			t.Errorf("scaled from %d to %d: the last event is %v", from, n, last)
		}
		if n == 0 {
			if _, _, err := f.ask(t); err == nil {
				t.Error("no replica, and the address answers")
			}
		} else if got := f.shares(t, f.enough(t, n)); len(got) != n {
			t.Errorf("scaled to %d: %v answer", n, got)
		}
		for _, e := range events {
			if e.Is(event.TaskGone{}) {
				if k := kinds(events, e.Task); !inOrder(k, event.TaskLeft{}, event.TaskStopping{}, event.TaskGone{}) {
					t.Errorf("%s: events %v; want it out of rotation, then told to stop, then gone", e.Task, k)
				}
			}
		}
	}
	if s := f.status(t); s.Tasks[0].Name == Service+".1#1" {
		t.Errorf("%s is the name of two tasks", s.Tasks[0].Name)
	}
}

func balance(t *testing.T, f *fixture) {
	f.deploy(t, 3)
	const n = 31
	shares := f.shares(t, n)
	if len(shares) != 3 { // chance alone does this once in a hundred thousand times
		t.Errorf("%v answer; want 3 replicas", shares)
	}
	if f.status(t).Balance == cluster.Random {
		return
	}
	for replica, count := range shares {
		if count < n/3 || count > n/3+1 {
			t.Errorf("%s got %d of %d connections; want %d or %d", replica, count, n, n/3, n/3+1)
		}
	}
}

// turns checks that what the workers ask takes no turn of anybody else, where the cluster can tell clients apart.
func turns(t *testing.T, f *fixture) {
	replicas := 3
	app, err := f.app.With(Service, &replicas, cluster.Change{Balance: cluster.RoundRobinPerClient,
		Environment: map[string]string{"COIN_DELAY": "1ms"}})
	if err == nil {
		workers := 2
		app, err = app.With("worker", &workers, cluster.Change{Environment: map[string]string{"COIN_THINK": "2ms"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(app); err != nil {
		if !strings.Contains(err.Error(), cluster.BalanceLabel) {
			t.Fatal(err)
		}
		t.Skip("not run: the cluster cannot tell clients apart, and says so")
	}
	if err := f.Deploy(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "the workers at work", func() bool {
		readings, _ := f.Counters(t.Context())
		asked := 0.0
		for _, r := range readings {
			for name, v := range r.Values.All() {
				if r.Service == Service && strings.HasPrefix(name, history.Requests) {
					asked += v
				}
			}
		}
		return asked >= 10
	})
	last := 0
	for i := range 30 {
		replica, _, err := f.ask(t)
		if err != nil {
			t.Fatal(err)
		}
		slot := int(replica[len(replica)-1] - '0')
		if i > 0 && slot != last%replicas+1 {
			t.Fatalf("request %d met %s after slot %d", i, replica, last)
		}
		last = slot
	}
}

// quick is an update without waiting.
func quick(parallelism int) *cluster.Rollout {
	return &cluster.Rollout{Parallelism: parallelism, Order: "stop-first", Monitor: time.Millisecond, FailureAction: "pause"}
}

func update(t *testing.T, f *fixture) {
	f.deploy(t, 4)
	before := len(f.List())
	s, _ := f.app.Service(Service)
	image := s.Image[:strings.LastIndex(s.Image, ":")] + ":v9.9"
	if err := f.Update(t.Context(), Service, cluster.Change{Image: image, Rollout: quick(2)}); err != nil {
		t.Fatalf("update: %v", err)
	}
	for _, task := range f.status(t).Tasks {
		if task.Image != image || task.State != cluster.Running {
			t.Errorf("after the update: %+v", task)
		}
	}
	for range 4 {
		if _, version, err := f.ask(t); err != nil || version != "v9.9" {
			t.Errorf("version %q answers, %v; want v9.9", version, err)
		}
	}
	events := f.since(before)
	want := event.RolloutBegin{Strategy: string(cluster.RollingUpdate), Parallelism: 2, Delay: quick(2).Delay, Order: "stop-first", Tasks: 4}
	if events[0].Payload != event.Payload(want) {
		t.Errorf("the first event is %v, want %+v", events[0], want)
	}
	if n := slices.IndexFunc(events, func(e history.Event) bool {
		return e.Payload == event.Payload(event.RolloutEnd{Outcome: event.Completed})
	}); n < 0 {
		t.Error("no end of the rollout")
	}
	if p, ok := events[len(events)-1].Payload.(event.ServiceUpdated); !ok || p.Image != image {
		t.Errorf("the last event is %v", events[len(events)-1])
	}
	out, most := 0, 0
	for _, e := range events {
		switch e.Payload.(type) {
		case event.TaskLeft:
			out++
		case event.TaskJoined:
			out--
		}
		most = max(most, out)
	}
	if most > 2 || most == 0 || out != 0 {
		t.Errorf("%d replicas were out of rotation at once, and %d at the end; want 1 or 2, and none", most, out)
	}
	for slot := 1; slot <= 4; slot++ {
		old, young := fmt.Sprintf("%s.%d#1", Service, slot), fmt.Sprintf("%s.%d#2", Service, slot)
		if index(events, event.TaskGone{}, old) > index(events, event.TaskStarted{}, young) {
			t.Errorf("%s started before %s was gone, though the order is stop-first", young, old)
		}
	}
	// The same again changes nothing.
	before = len(f.List())
	if err := f.Update(t.Context(), Service, cluster.Change{Image: image}); err != nil {
		t.Fatal(err)
	}
	for _, e := range f.since(before) {
		if e.Task != "" {
			t.Errorf("an update to what is in force does something: %v", e)
		}
	}
	// Start-first: the old one leaves after the new one has joined.
	before = len(f.List())
	r := quick(1)
	r.Order = "start-first"
	if err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": "1ms"}, Rollout: r}); err != nil {
		t.Fatalf("update: %v", err)
	}
	events = f.since(before)
	for slot := 1; slot <= 4; slot++ {
		old, young := fmt.Sprintf("%s.%d#2", Service, slot), fmt.Sprintf("%s.%d#3", Service, slot)
		if index(events, event.TaskLeft{}, old) < index(events, event.TaskJoined{}, young) {
			t.Errorf("%s left before %s was in rotation, though the order is start-first", old, young)
		}
	}
	if s := f.status(t); s.Running != 4 || len(s.Tasks) != 4 || s.Environment["COIN_DELAY"] != "1ms" {
		t.Errorf("after the update: %+v", s)
	}
}

// rollsBack updates to a version whose port is not the one that is asked for by the health check.
func rollsBack(t *testing.T, f *fixture) {
	f.deploy(t, 3)
	r := quick(1)
	r.FailureAction = "rollback"
	// An engine may call a task running for a moment that got unhealthy and ended with status 0, and turn to the next slot.
	r.Monitor, r.Delay = time.Second, time.Second
	err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_ADMIN_LISTEN": ":9999"}, Rollout: r})
	var failed *cluster.RolloutError
	if !errors.As(err, &failed) || failed.Outcome != event.RolledBack || failed.Reason == "" {
		t.Fatalf("the error is %v; want a RolloutError, rolled back, with its reason", err)
	}
	s := f.status(t)
	if s.Running != 3 || s.Environment["COIN_ADMIN_LISTEN"] != "" {
		t.Errorf("after the rollback: %+v", s)
	}
	events := f.List()
	if n := slices.IndexFunc(events, func(e history.Event) bool {
		p, _ := e.Payload.(event.RolloutEnd)
		return p.Outcome == event.RolledBack && p.Reason != ""
	}); n < 0 {
		t.Error("no event says that it was rolled back, and why")
	}
	if !slices.ContainsFunc(events, func(e history.Event) bool {
		p, _ := e.Payload.(event.RolloutBegin)
		return p.Rollback
	}) {
		t.Error("no event says that the rollback began")
	}
	replaced := 0
	for slot := 1; slot <= 3; slot++ {
		if index(events, event.TaskGone{}, fmt.Sprintf("%s.%d#1", Service, slot)) >= 0 {
			replaced++
		}
	}
	// Swarm's engine may have begun the next slot before it noticed that the first one failed; none may go on to the end.
	most := 1
	if f.Name() == "swarm" {
		most = 2
	}
	if replaced < 1 || replaced > most {
		t.Errorf("%d replicas were replaced, though the first one failed; want 1 to %d", replaced, most)
	}
}

func balanceOnly(t *testing.T, f *fixture) {
	f.deploy(t, 2)
	before := len(f.List())
	if err := f.Update(t.Context(), Service, cluster.Change{Balance: cluster.Random}); err != nil {
		t.Fatal(err)
	}
	events := f.since(before)
	if len(events) != 1 || !events[0].Is(event.ServiceUpdated{}) || events[0].Detail()["balance"] != string(cluster.Random) {
		t.Errorf("events are %v", events)
	}
	if s := f.status(t); s.Balance != cluster.Random {
		t.Errorf("the balance is %s", s.Balance)
	}
}

func kill(t *testing.T, f *fixture) {
	killer, ok := f.Cluster.(cluster.Killer)
	if !ok {
		t.Skip("not run: the cluster is no Killer")
	}
	f.deploy(t, 2)
	if err := killer.Kill(t.Context(), Service, 2, cluster.Fault{Down: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "a successor in rotation", func() bool {
		return index(f.List(), event.TaskJoined{}, Service+".2#2") >= 0
	})
	if k := kinds(f.List(), Service+".2#1"); !inOrder(k, event.TaskJoined{}, event.TaskKilled{}, event.TaskLeft{}, event.TaskGone{}) {
		t.Errorf("events are %v", k)
	}
	if down := said[event.TaskKilled](t, f.List(), Service+".2#1").Down; down <= 0 { // how long a slot is empty is the engine's on a Swarm
		t.Errorf("the record says that its slot is empty for %s", down)
	}
	if got := f.shares(t, f.enough(t, 2)); len(got) != 2 {
		t.Errorf("%v answer; want both", got)
	}
	if err := killer.Kill(t.Context(), Service, 3, cluster.Fault{}); err == nil {
		t.Error("a slot that is not there can be killed")
	}
}

// inRotationKiller skips a test of dead replicas in rotation where there are none, which a cluster says before anything is deployed.
func (f *fixture) inRotationKiller(t *testing.T) cluster.Killer {
	t.Helper()
	killer, ok := f.Cluster.(cluster.Killer)
	if !ok {
		t.Skip("not run: the cluster is no Killer")
	}
	if err := killer.Kill(t.Context(), Service, 1, cluster.Fault{InRotation: true}); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("not run: the cluster keeps no dead replica in rotation")
	}
	return killer
}

func killInRotation(t *testing.T, f *fixture) {
	killer := f.inRotationKiller(t)
	f.deploy(t, 2)
	if err := killer.Kill(t.Context(), Service, 1, cluster.Fault{Down: time.Hour, InRotation: true}); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "its end", func() bool { return index(f.List(), event.TaskGone{}, Service+".1#1") >= 0 })
	failures := 0
	for range 6 {
		if _, _, err := f.ask(t); err != nil {
			failures++
		}
	}
	if failures != 3 {
		t.Errorf("%d of 6 connections failed; want every second", failures)
	}
	if n := index(f.List(), event.TaskLeft{}, Service+".1#1"); n >= 0 {
		t.Error("it left the rotation")
	}
}

// killInRotationEnds checks that the dead replica leaves when its time is over, and not when its successor is there.
func killInRotationEnds(t *testing.T, f *fixture) {
	killer := f.inRotationKiller(t)
	f.deploy(t, 2)
	if err := killer.Kill(t.Context(), Service, 1, cluster.Fault{Down: 20 * time.Millisecond, InRotation: true}); err != nil {
		t.Fatal(err)
	}
	old, young := Service+".1#1", Service+".1#2"
	f.eventually(t, "a successor in rotation", func() bool { return index(f.List(), event.TaskJoined{}, young) >= 0 })
	events := f.List()
	gone, left := index(events, event.TaskGone{}, old), index(events, event.TaskLeft{}, old)
	if started := index(events, event.TaskStarted{}, young); gone < 0 || left < gone || started < left {
		t.Errorf("%s is gone in event %d and leaves the rotation in %d, %s starts in %d; want it in this order", old, gone, left, young, started)
	}
	if got := f.shares(t, f.enough(t, 2)); len(got) != 2 {
		t.Errorf("%v answer; want both", got)
	}
}

func counters(t *testing.T, f *fixture) {
	f.deployAll(t, 2)
	readings := f.counters(t)
	found := map[string]bool{}
	for _, r := range readings {
		found[r.Task] = true
		if r.Service == "host" { // of the machine, which is no service
			continue
		}
		for name := range r.Values.All() {
			if !strings.HasPrefix(name, "coinbench_") && !strings.HasPrefix(name, "redis_") && !strings.HasPrefix(name, "process_") {
				t.Errorf("%s: series %s", r.Task, name)
			}
		}
		if r.Service == "redis" {
			if _, ok := r.Values.Get(history.RedisHashes); !ok {
				t.Errorf("redis without %s: %v", history.RedisHashes, r.Values)
			}
		} else if _, ok := r.Values.Get(history.ProcessCPU); !ok {
			t.Errorf("%s without %s", r.Task, history.ProcessCPU)
		}
	}
	all, _ := f.Status(t.Context())
	for _, s := range all {
		for _, task := range s.Tasks {
			if !found[task.Name] {
				t.Errorf("no reading of %s", task.Name)
			}
		}
	}
	if again := f.counters(t); len(again) != len(readings) || again[0].At < readings[0].At {
		t.Errorf("a second time: %d readings instead of %d", len(again), len(readings))
	}
}

// counters reads the counters until every task has answered: on a machine that others use, one may take longer than it is given.
func (f *fixture) counters(t *testing.T) (readings []history.Reading) {
	t.Helper()
	f.eventually(t, "the counters of every task", func() bool {
		var err error
		begun := f.Now()
		readings, err = f.Counters(t.Context())
		if err != nil {
			t.Logf("after %s: %v", f.Now().Sub(begun), err)
		}
		return err == nil
	})
	return readings
}

func remove(t *testing.T, f *fixture) {
	if err := f.Remove(t.Context()); err != nil {
		t.Errorf("remove before deploy: %v", err)
	}
	f.deployAll(t, 2)
	for range 2 {
		if err := f.Remove(t.Context()); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	if all, err := f.Status(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("status is %v, %v; want nothing", all, err)
	}
	if _, err := f.Address(t.Context(), Service); err == nil {
		t.Error("a removed service has an address")
	}
	started, gone := map[string]bool{}, map[string]bool{}
	for _, e := range f.List() {
		switch e.Payload.(type) {
		case event.TaskStarted:
			started[e.Task] = e.Service != "redis" // it may have been there before
		case event.TaskGone:
			gone[e.Task] = true
		}
	}
	for task, ours := range started {
		if ours && !gone[task] {
			t.Errorf("%s is not gone", task)
		}
	}
	f.deploy(t, 1)
	if _, _, err := f.ask(t); err != nil {
		t.Errorf("after a second deploy: %v", err)
	}
}

func faults(t *testing.T, f *fixture) {
	if err := f.Scale(t.Context(), Service, 1); err == nil {
		t.Error("what is not deployed can be scaled")
	}
	f.deploy(t, 1)
	ctx := t.Context()
	_, address := f.Address(ctx, "rgn")
	for what, err := range map[string]error{
		"scale":   f.Scale(ctx, "rgn", 1),
		"update":  f.Update(ctx, "rgn", cluster.Change{}),
		"address": address,
	} {
		if err == nil || !strings.Contains(err.Error(), `"rgn"`) || !strings.Contains(err.Error(), Service) {
			t.Errorf("%s of an unknown service: %v; want it named, and those that there are", what, err)
		}
	}
	for what, err := range map[string]error{
		"replicas":    f.Scale(ctx, Service, -1),
		"environment": f.Update(ctx, Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": "fast"}}),
		"name":        f.Update(ctx, Service, cluster.Change{Environment: map[string]string{"COIN_DELYA": "1s"}}),
		"balance":     f.Update(ctx, Service, cluster.Change{Balance: "fair"}),
		"order":       f.Update(ctx, Service, cluster.Change{Rollout: &cluster.Rollout{Order: "backwards"}}),
		"ratio":       f.Update(ctx, Service, cluster.Change{Rollout: &cluster.Rollout{MaxFailureRatio: 1.01}}),
		"low ratio":   f.Update(ctx, Service, cluster.Change{Rollout: &cluster.Rollout{MaxFailureRatio: -0.01}}),
	} {
		if err == nil {
			t.Errorf("impossible %s: no error", what)
		}
	}
	if s := f.status(t); s.Running != 1 || s.Tasks[0].Name != Service+".1#1" {
		t.Errorf("an impossible change changed something: %+v", s)
	}
}

func contextEnds(t *testing.T, f *fixture) {
	f.deploy(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Scale(ctx, Service, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("scale with a context that is done: %v", err)
	}
	if err := f.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("sleep with a context that is done: %v", err)
	}
	begun := time.Now()
	if err := f.Remove(ctx); err != nil {
		t.Errorf("remove with a context that is done: %v", err)
	}
	if d := time.Since(begun); d > patience {
		t.Errorf("remove took %s", d)
	}
}

// concurrent lets many change and read at once; the race detector and the end state judge.
func concurrent(t *testing.T, f *fixture) {
	f.deploy(t, 1)
	var waits []func()
	for n := 1; n <= 4; n++ {
		waits = append(waits, f.spawn(func() {
			if err := f.Scale(t.Context(), Service, n); err != nil {
				t.Errorf("scale to %d: %v", n, err)
			}
		}), f.spawn(func() {
			if _, err := f.Status(t.Context()); err != nil {
				t.Errorf("status: %v", err)
			}
			var slow net.Error // such a task is left out
			if _, err := f.Counters(t.Context()); err != nil && !(errors.As(err, &slow) && slow.Timeout()) {
				t.Errorf("counters: %v", err)
			}
		}))
	}
	for _, wait := range waits {
		wait()
	}
	if s := f.status(t); s.Running != s.Replicas || len(s.Tasks) != s.Replicas {
		t.Errorf("%d running, %d tasks, %d replicas", s.Running, len(s.Tasks), s.Replicas)
	}
}
