package swarm_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	ours "coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/setup"
	"coinbench/history"
	"coinbench/history/event"
)

// says whether an event of the kind has the text in one of its details.
func says(events []history.Event, kind event.Payload, text string) bool {
	for _, e := range events {
		if !e.Is(kind) {
			continue
		}
		for _, v := range e.Detail() {
			if strings.Contains(v, text) {
				return true
			}
		}
	}
	return false
}

// small is redis and rng alone, under the test's own name, so that tests run side by side.
func small(t *testing.T, rngs int) cluster.App {
	t.Helper()
	app, err := without(without(shipped(t), "worker"), "hasher").With("rng", &rngs, cluster.Change{})
	if err != nil {
		t.Fatal(err)
	}
	app.Name = strings.ToLower(t.Name())
	return app
}

func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q:\n%v", text, err)
		}
	}
}

func TestNeverHealthyOnASwarm(t *testing.T) {
	t.Parallel()
	var r clustertest.Events
	c, _ := on(t, engine.Options{Deadline: time.Second}, ours.Config{Sink: r.Add})
	app, err := small(t, 1).With("rng", nil, cluster.Change{Environment: map[string]string{"COIN_ADMIN_LISTEN": ":9999"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range app.Services { // which the deadline allows for
		if h := app.Services[i].Health; h != nil {
			h.Timeout, h.Retries = time.Second, 2
		}
	}
	err = c.Deploy(t.Context(), app)
	if !says(r.List(), event.TaskGone{}, "health check") {
		t.Error("the history does not say why the tasks ended")
	}
	wants(t, err, "rng.1", "not converged within", "before it was healthy", "docker service logs testneverhealthyonaswarm_rng")
}

func TestForeignNameOnASwarm(t *testing.T) {
	t.Parallel()
	here := manager(t, real(t))
	zero := uint64(0)
	app := small(t, 1)
	made, err := here.ServiceCreate(t.Context(), client.ServiceCreateOptions{Spec: swarm.ServiceSpec{
		Annotations:  swarm.Annotations{Name: app.Name + "_rng"},
		Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &zero}},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: "coinbench/rng:v0.1"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer here.ServiceRemove(context.Background(), made.ID, client.ServiceRemoveOptions{})
	c, e := on(t, engine.Options{}, ours.Config{})
	wants(t, c.Deploy(t.Context(), app), app.Name+"_rng", "coinbench did not make", "docker service rm")
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if err := setup.Down(t.Context(), e, app.Name); err != nil {
		t.Error(err)
	}
	if _, err := here.ServiceInspect(t.Context(), made.ID, client.ServiceInspectOptions{}); err != nil {
		t.Errorf("somebody else's service was touched: %v", err)
	}
}

func TestTwoAtOnceOnASwarm(t *testing.T) {
	t.Parallel()
	first, run := on(t, engine.Options{}, ours.Config{})
	if err := first.Deploy(t.Context(), small(t, 1)); err != nil {
		t.Fatal(err)
	}
	other := engine.New(manager(t, real(t)), engine.Options{})
	second, err := ours.New(other, ours.Config{Endpoint: ours.DNSRR})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, second.Deploy(t.Context(), small(t, 1)), "another coinbench runs it", run.Run)
	wants(t, setup.Down(t.Context(), other, small(t, 1).Name), "is in progress", run.Run)
	if err := second.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if all, err := first.Status(t.Context()); err != nil || len(all) != 2 || all[1].Running != 1 {
		t.Errorf("the first one: %+v, %v", all, err)
	}
	if _, err := first.Counters(t.Context()); err != nil {
		t.Error(err)
	}
}
