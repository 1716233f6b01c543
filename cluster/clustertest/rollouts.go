package clustertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// sick is a version that never becomes healthy: its admin port is not the one that is asked.
func sick() map[string]string { return map[string]string{"COIN_ADMIN_LISTEN": ":9999"} }

// versions asks n times and counts by version.
func (f *fixture) versions(t *testing.T, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		_, version, err := f.ask(t)
		if err != nil {
			t.Fatalf("request: %v", err)
		}
		counts[version]++
	}
	return counts
}

// With start-first both tasks of a slot run for a while; a rollback in the middle leaves one.
func keepsOld(t *testing.T, f *fixture) {
	f.deploy(t, 3)
	r := quick(2)
	r.Order, r.FailureAction = "start-first", "rollback"
	r.Monitor = time.Second // as above
	err := f.Update(t.Context(), Service, cluster.Change{Environment: sick(), Rollout: r})
	var failed *cluster.RolloutError
	if !errors.As(err, &failed) || failed.Outcome != event.RolledBack {
		t.Fatalf("the error is %v; want a RolloutError, rolled back", err)
	}
	if s := f.status(t); s.Running != 3 || len(s.Tasks) != 3 {
		t.Errorf("%d running, %d tasks; want 3", s.Running, len(s.Tasks))
	}
}

func rollbackTwice(t *testing.T, f *fixture) {
	c, ok := f.Cluster.(cluster.Rollbacker)
	if !ok {
		t.Skip("not run: the cluster is no Rollbacker")
	}
	f.deploy(t, 2)
	was := f.status(t).Environment["COIN_DELAY"]
	if err := c.Rollback(t.Context(), Service); err == nil {
		t.Error("nothing to roll back, and no error")
	}
	if err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": "2ms"},
		Rollout: quick(0)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{was, "2ms", was} {
		if err := c.Rollback(t.Context(), Service); err != nil {
			t.Fatal(err)
		}
		if s := f.status(t); s.Environment["COIN_DELAY"] != want || s.Running != 2 {
			t.Errorf("after the rollback: %+v; want COIN_DELAY=%s", s, want)
		}
	}
}

// Replicas are no part of what a rollback returns to.
func scaledThenBack(t *testing.T, f *fixture) {
	c, ok := f.Cluster.(cluster.Rollbacker)
	if !ok {
		t.Skip("not run: the cluster is no Rollbacker")
	}
	f.deploy(t, 1)
	was := f.status(t).Environment["COIN_DELAY"]
	if err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": "2ms"},
		Rollout: quick(0)}); err != nil {
		t.Fatal(err)
	}
	if err := f.Scale(t.Context(), Service, 3); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{was, "2ms"} {
		if err := c.Rollback(t.Context(), Service); err != nil {
			t.Fatal(err)
		}
		if s := f.status(t); s.Environment["COIN_DELAY"] != want || s.Replicas != 3 || s.Running != 3 {
			t.Errorf("after the rollback: %+v; want COIN_DELAY=%s and 3 replicas", s, want)
		}
	}
}

// An image that no node can have is refused, or its update fails; what serves goes on.
func missingImage(t *testing.T, f *fixture) {
	f.deploy(t, 2)
	before := f.status(t)
	r := quick(1)
	r.FailureAction, r.Monitor = "rollback", time.Second
	err := f.Update(t.Context(), Service, cluster.Change{Image: "127.0.0.1:1/coinbench/" + Service + ":nowhere", Rollout: r})
	var failed *cluster.RolloutError
	switch {
	case err == nil:
		t.Error("an image that is nowhere runs")
	case errors.As(err, &failed) && (failed.Outcome != event.RolledBack || !strings.Contains(failed.Reason, ":nowhere")):
		t.Errorf("the error is %v; want it rolled back, with the image's name", err)
	}
	if err := f.Update(t.Context(), Service, cluster.Change{Image: "coinbench/nowhere:v1"}); err == nil || errors.As(err, &failed) {
		t.Errorf("an image of another kind: %v; want it refused", err)
	}
	if s := f.status(t); s.Image != before.Image || s.Running != 2 || len(s.Tasks) != 2 {
		t.Errorf("afterwards: %+v", s)
	}
}

// A new task that dies after its monitor, and before its delay is over, has failed.
func watchedForTheDelay(t *testing.T, f *fixture) {
	killer, ok := f.Cluster.(cluster.Killer)
	if !ok {
		t.Skip("not run: the cluster is no Killer")
	}
	f.deploy(t, 1)
	r := quick(1)
	r.Delay, r.FailureAction = 10*time.Second, "rollback"
	kill := func() {
		for index(f.List(), event.TaskJoined{}, Service+".1#2") < 0 {
			if err := f.Sleep(t.Context(), 20*time.Millisecond); err != nil {
				return
			}
		}
		if err := f.Sleep(t.Context(), 100*time.Millisecond); err != nil {
			return
		}
		if err := killer.Kill(t.Context(), Service, 1, cluster.Fault{Down: 10 * time.Millisecond}); err != nil {
			t.Error(err)
		}
	}
	wait := f.spawn(kill)
	err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": "2ms"}, Rollout: r})
	wait()
	var failed *cluster.RolloutError
	if !errors.As(err, &failed) || failed.Outcome != event.RolledBack {
		t.Fatalf("the error is %v; want a RolloutError, rolled back", err)
	}
	if s := f.status(t); s.Running != 1 || s.Environment["COIN_DELAY"] == "2ms" {
		t.Errorf("after the rollback: %+v", s)
	}
}

// 0.7 of 10 new tasks may fail, and the eighth is one too many.
func failureRatio(t *testing.T, f *fixture) {
	killer, ok := f.Cluster.(cluster.Killer)
	if !ok {
		t.Skip("not run: the cluster is no Killer")
	}
	f.deploy(t, 10)
	r := quick(0)
	r.Monitor, r.FailureAction, r.MaxFailureRatio = 30*time.Second, "rollback", 0.7 // in which all are killed
	for _, failures := range []int{7, 8} {
		before := len(f.List())
		wait := f.spawn(func() {
			up := func() (n int) {
				for _, e := range f.since(before) {
					if e.Is(event.TaskJoined{}) {
						n++
					}
				}
				return n
			}
			for up() < 10 {
				if err := f.Sleep(t.Context(), 20*time.Millisecond); err != nil {
					return
				}
			}
			var kills []func()
			for slot := 1; slot <= failures; slot++ { // at once: on another node each takes an engine some seconds
				kills = append(kills, f.spawn(func() {
					if err := killer.Kill(t.Context(), Service, slot, cluster.Fault{Down: time.Minute}); err != nil {
						t.Error(err)
					}
				}))
			}
			for _, wait := range kills {
				wait()
			}
		})
		err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": fmt.Sprint(failures, "ms")},
			Rollout: r})
		wait()
		var failed *cluster.RolloutError
		if rolledBack := errors.As(err, &failed) && failed.Outcome == event.RolledBack; rolledBack != (failures > 7) || err != nil &&
			!rolledBack {
			t.Errorf("%d of 10 new tasks failed, of which 0.7 may: %v", failures, err)
		}
		if failures == 7 { // the seven that wait for their successors are not in the way
			if err := f.Scale(t.Context(), Service, 0); err != nil {
				t.Fatal(err)
			}
			if err := f.Scale(t.Context(), Service, 10); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A constraint that no node meets is found before, or when, the app is deployed, and not after minutes.
func constraint(t *testing.T, f *fixture) {
	f.app.Services = slices.Clone(f.app.Services)
	for i := range f.app.Services {
		if s := &f.app.Services[i]; s.Name == Service {
			s.Constraints = []string{"node.labels.zone==nowhere"}
		}
	}
	begun := f.Now()
	err := f.Deploy(t.Context(), f.app)
	if err == nil || !strings.Contains(err.Error(), "constraint") {
		t.Errorf("deployed: %v; want an error that names the constraint", err)
	}
	if d := f.Now().Sub(begun); d > patience {
		t.Errorf("that took %s", d)
	}
}

// A global service has one task on each node, and no number of them.
func globalHasNoNumber(t *testing.T, f *fixture) {
	f.app.Services = slices.Clone(f.app.Services)
	for i := range f.app.Services {
		if s := &f.app.Services[i]; s.Name == Service {
			s.Global, s.Replicas = true, 1
		} else if slices.Contains(s.DependsOn, Service) {
			s.Replicas = 0
		}
	}
	if err := f.Deploy(t.Context(), f.app); err != nil {
		t.Fatal(err)
	}
	before := f.status(t).Running
	if err := f.Scale(t.Context(), Service, 2); err == nil || !strings.Contains(err.Error(), "one task on each node") {
		t.Errorf("scaled: %v; want it refused", err)
	}
	if s := f.status(t); s.Running != before || before < 1 {
		t.Errorf("%d tasks before, %d after", before, s.Running)
	}
}

func restart(t *testing.T, f *fixture) {
	c, ok := f.Cluster.(cluster.Restarter)
	if !ok {
		t.Skip("not run: the cluster is no Restarter")
	}
	f.deploy(t, 2)
	before := f.status(t)
	if err := f.Update(t.Context(), Service, cluster.Change{Environment: map[string]string{"COIN_DELAY": "2ms"},
		Rollout: quick(0)}); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context(), Service); err != nil {
		t.Fatal(err)
	}
	s := f.status(t)
	if s.Running != 2 || s.Image != before.Image || s.Environment["COIN_DELAY"] != "2ms" {
		t.Errorf("after the restart: %+v", s)
	}
	for _, task := range s.Tasks {
		if slices.ContainsFunc(before.Tasks, func(b cluster.Task) bool { return b.Name == task.Name }) {
			t.Errorf("%s was not replaced", task.Name)
		}
	}
}

// knows skips a test of a strategy that the cluster has not.
func (f *fixture) knows(t *testing.T, s cluster.Strategy) {
	t.Helper()
	if c, ok := f.Cluster.(cluster.Strategist); !ok || !slices.Contains(c.Strategies(), s) {
		t.Skipf("not run: the cluster has no %s", s)
	}
}

// behind puts the service behind a gateway where blue-green needs one.
func (f *fixture) behind() {
	if c, ok := f.Cluster.(cluster.GatewayRouter); ok && c.NeedsGateway() {
		f.app.Services = slices.Clone(f.app.Services)
		for i := range f.app.Services {
			f.app.Services[i].Gateway = f.app.Services[i].Name == Service
		}
	}
}

func blueGreen(t *testing.T, f *fixture) {
	f.knows(t, cluster.BlueGreen)
	f.behind()
	f.deploy(t, 3)
	before := len(f.List())
	if err := f.Update(t.Context(), Service, cluster.Change{Image: "coinbench/" + Service + ":v9.9", Strategy: cluster.BlueGreen,
		Rollout: quick(1)}); err != nil {
		t.Fatal(err)
	}
	if got := f.versions(t, 6); got["v9.9"] != 6 {
		t.Errorf("%v answer", got)
	}
	if s := f.status(t); s.Running != 3 || len(s.Tasks) != 3 || s.Image != "coinbench/"+Service+":v9.9" {
		t.Errorf("after the update: %+v", s)
	}
	events := f.since(before)
	turn := slices.IndexFunc(events, func(e history.Event) bool { return e.Is(event.RolloutSwitch{}) })
	for slot := 1; slot <= 3; slot++ {
		old, young := fmt.Sprintf("%s.%d#1", Service, slot), fmt.Sprintf("%s.%d#2", Service, slot)
		if i := index(events, event.TaskHealthy{}, young); i > turn {
			t.Errorf("%s became healthy after the switch", young)
		}
		if i := index(events, event.TaskStopping{}, old); i < turn {
			t.Errorf("%s was told to stop before the switch", old)
		}
	}
}

func blueGreenUndone(t *testing.T, f *fixture) {
	f.knows(t, cluster.BlueGreen)
	f.behind()
	f.deploy(t, 2)
	r := quick(1)
	err := f.Update(t.Context(), Service, cluster.Change{Environment: sick(), Strategy: cluster.BlueGreen, Rollout: r})
	var failed *cluster.RolloutError
	if !errors.As(err, &failed) || failed.Outcome != event.RolledBack || failed.Reason == "" {
		t.Fatalf("the error is %v; want a RolloutError, rolled back, with its reason", err)
	}
	s := f.status(t)
	if s.Running != 2 || len(s.Tasks) != 2 || s.Environment["COIN_ADMIN_LISTEN"] != "" {
		t.Errorf("after the failure: %+v", s)
	}
	for _, e := range f.List() {
		if e.Is(event.TaskLeft{}) || e.Is(event.RolloutSwitch{}) {
			t.Errorf("the old set was touched: %v", e)
		}
	}
}

// An update of some slots leaves the others; one of the same to all goes on with it, and a rollback undoes both.
func someSlots(t *testing.T, f *fixture) {
	f.knows(t, cluster.Canary)
	f.deploy(t, 3)
	change := cluster.Change{Image: "coinbench/" + Service + ":v9.9", Rollout: quick(0), Slots: []int{2}}
	if err := f.Update(t.Context(), Service, change); err != nil {
		t.Fatal(err)
	}
	if f.status(t).Balance == cluster.Random {
		if got := f.versions(t, 60); got["v9.9"] == 0 || got["v9.9"] > 40 { // chance alone does this once in ten million times
			t.Errorf("%v answer; want the canary about a third", got)
		}
	} else if got := f.versions(t, 6); got["v9.9"] != 2 {
		t.Errorf("%v answer; want the canary a third", got)
	}
	change.Slots = nil
	if err := f.Update(t.Context(), Service, change); err != nil {
		t.Fatal(err)
	}
	if got := f.versions(t, 6); got["v9.9"] != 6 {
		t.Errorf("%v answer; want the canary only", got)
	}
	if c, ok := f.Cluster.(cluster.Rollbacker); ok {
		if err := c.Rollback(t.Context(), Service); err != nil {
			t.Fatal(err)
		}
		if got := f.versions(t, 6); got["v9.9"] != 0 {
			t.Errorf("%v answer after the rollback", got)
		}
	}
}

func pullFirst(t *testing.T, f *fixture) {
	f.knows(t, cluster.Batched)
	f.deploy(t, 2)
	before := len(f.List())
	change := cluster.Change{Image: "coinbench/" + Service + ":v9.9", Strategy: cluster.Batched, Pull: 30 * time.Millisecond,
		Rollout: quick(1)}
	if err := f.Update(t.Context(), Service, change); err != nil {
		t.Fatal(err)
	}
	events := f.since(before)
	first := slices.IndexFunc(events, func(e history.Event) bool { return e.Is(event.TaskLeft{}) })
	for slot := 1; slot <= 2; slot++ {
		if i := index(events, event.TaskPulled{}, fmt.Sprintf("%s.%d#2", Service, slot)); i < 0 || i > first {
			t.Errorf("slot %d: pulled at event %d, the first task left at %d", slot, i, first)
		}
	}
}

func pauseAndSlow(t *testing.T, f *fixture) {
	f.deploy(t, 1)
	name := Service + ".1#1"
	if c, ok := f.Cluster.(cluster.Pauser); ok {
		if err := c.Pause(t.Context(), Service, 1, 500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		longest := time.Duration(0)
		for longest < 100*time.Millisecond && index(f.List(), event.TaskRecovered{}, name) < 0 { // the first may be quicker than the signal
			begun := f.Now()
			if _, _, err := f.ask(t); err != nil {
				t.Errorf("a frozen replica refuses: %v", err)
			}
			longest = max(longest, f.Now().Sub(begun))
		}
		if longest < 100*time.Millisecond {
			t.Errorf("a replica that is frozen for 500ms answers within %s", longest)
		}
		f.eventually(t, "its recovery", func() bool { return index(f.List(), event.TaskRecovered{}, name) >= 0 })
		if p := said[event.TaskPaused](t, f.List(), name); p.For != 500*time.Millisecond {
			t.Errorf("the record says that it is frozen for %s", p.For)
		}
	}
	if c, ok := f.Cluster.(cluster.LatencyInjector); ok {
		if err := c.Slow(t.Context(), Service, 1, 100*time.Millisecond, time.Minute); err != nil {
			t.Fatal(err)
		}
		begun := f.Now()
		if _, _, err := f.ask(t); err != nil {
			t.Error(err)
		}
		if d := f.Now().Sub(begun); d < 100*time.Millisecond {
			t.Errorf("a connection that is delayed by 100ms is answered after %s", d)
		}
		if err := c.Slow(t.Context(), Service, 9, time.Second, time.Second); err == nil {
			t.Error("a slot that is not there can be made slow")
		}
	}
}
