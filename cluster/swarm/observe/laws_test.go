package observe_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"pgregory.net/rapid"

	"coinbench/cluster"
	"coinbench/cluster/swarm/observe"
	"coinbench/history/event"
)

var states = []swarm.TaskState{"new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running", "complete",
	"shutdown", "failed", "rejected", "remove", "orphaned"}

// Whatever an engine lists, in whatever order: a task starts, joins, leaves and is gone at most once, in this order and with nothing after
// it; those in rotation by the events are those that run by the state; and the same answer to the same state says the same, and changes
// nothing of the state before.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]string{"stop-first", "start-first"}).Draw(t, "order")
		app := observe.App{Services: []observe.Service{{ID: "rng", Spec: cluster.Service{Name: "rng", Replicas: 2,
			Update: cluster.Rollout{Order: order}}}}}
		var s observe.State
		var answer observe.Answer
		happened := map[string][]event.Kind{}
		stopped := map[string]bool{} // what is told to stop once is told so for ever
		now := start
		for range rapid.IntRange(1, 15).Draw(t, "looks") {
			now = now.Add(time.Second)
			answer.Nodes = nil
			for i := range 2 {
				n := swarm.Node{ID: fmt.Sprint("n", i)}
				n.Status.State = rapid.SampledFrom([]swarm.NodeState{"ready", "ready", "down", "unknown"}).Draw(t, "node")
				answer.Nodes = append(answer.Nodes, n)
			}
			tasks := []swarm.Task{}
			for i := range 4 {
				if rapid.IntRange(0, 9).Draw(t, "listed") == 0 {
					continue
				}
				x := swarm.Task{ID: fmt.Sprint(i), ServiceID: "rng", Slot: i%2 + 1, NodeID: fmt.Sprint("n", i/2)}
				x.Status.State = rapid.SampledFrom(states).Draw(t, "state")
				x.DesiredState = rapid.SampledFrom([]swarm.TaskState{"running", "running", "shutdown", "remove"}).Draw(t, "desired")
				if stopped[x.ID] = stopped[x.ID] || x.DesiredState != "running"; stopped[x.ID] {
					x.DesiredState = "shutdown"
				}
				tasks = append(tasks, x)
			}
			answer.Tasks = tasks
			before := s.All(func(observe.Task) bool { return true })
			next, events := s.Look(app, answer, now)
			again, same := s.Look(app, answer, now)
			if !reflect.DeepEqual(next, again) || !reflect.DeepEqual(events, same) {
				t.Fatal("the same answer to the same state says something else")
			}
			if !reflect.DeepEqual(before, s.All(func(observe.Task) bool { return true })) {
				t.Fatal("the state before has changed")
			}
			s = next
			for _, e := range events {
				happened[e.Task] = append(happened[e.Task], e.Payload.Kind())
			}
			delete(happened, "") // of nodes
			in := 0
			for name, kinds := range happened {
				in += inRotation(t, name, kinds)
			}
			list, _ := s.Tasks(app.Services[0])
			running := 0
			for _, x := range list {
				if x.State == cluster.Running {
					running++
				}
			}
			if in != running {
				t.Fatalf("%d tasks in rotation by the events, %d by the state: %v", in, running, happened)
			}
		}
	})
}

// inRotation is 1 if a task is in rotation after events of it, which must be in the order of its life.
func inRotation(t *rapid.T, name string, kinds []event.Kind) (in int) {
	place := map[event.Kind]int{event.TaskPulled{}.Kind(): 1, event.TaskStarted{}.Kind(): 2, event.TaskJoined{}.Kind(): 3,
		event.TaskLeft{}.Kind():     4,
		event.TaskStopping{}.Kind(): 5, event.TaskGone{}.Kind(): 6}
	last := 0
	for _, k := range kinds {
		if place[k] <= last {
			t.Fatalf("%s: %v", name, kinds)
		}
		last = place[k]
		switch k {
		case event.TaskJoined{}.Kind():
			in = 1
		case event.TaskLeft{}.Kind():
			if in == 0 {
				t.Fatalf("%s leaves a rotation that it is not in: %v", name, kinds)
			}
			in = 0
		}
	}
	return in
}
