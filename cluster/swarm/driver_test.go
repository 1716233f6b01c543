package swarm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
	"coinbench/history"
	"coinbench/history/event"
)

// three is a cluster with rng in three replicas, taken over from the process that brought it up. close must be called in the test's bubble.
func three(t *testing.T, sink cluster.Sink) (c *swarm.Cluster, close func()) {
	t.Helper()
	_, client := enginetest.New(t)
	begin := func(sink cluster.Sink) *swarm.Cluster {
		c, err := swarm.New(engine.New(client, engine.Options{Keep: true}), swarm.Config{Sink: sink, Endpoint: swarm.DNSRR})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	app := suite(t)
	rng, _ := app.Service("rng")
	rng.Replicas, rng.Update.Parallelism, rng.Update.Delay = 3, 1, 5*time.Second
	app.Services = []cluster.Service{rng}
	first := begin(nil)
	must(first.Deploy(t.Context(), app))
	must(first.Close(t.Context()))
	c = begin(sink)
	must(c.Attach(t.Context(), app.Name))
	return c, func() { must(c.Close(t.Context())) }
}

// rollouts are what is told of rollouts.
func rollouts(events []history.Event) string {
	var list []string
	for _, e := range events {
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
	return strings.Join(list, ", ")
}

// The engine moves the tasks; what is told of it is what it does.
func TestChangesByTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r clustertest.Events
		c, close := three(t, r.Add)
		defer close()
		settings := func(action string) *cluster.Rollout {
			return &cluster.Rollout{Parallelism: 1, Order: "stop-first", Monitor: time.Second, FailureAction: action}
		}
		update := func(change cluster.Change) func() error {
			return func() error { return c.Update(t.Context(), "rng", change) }
		}
		sick := map[string]string{"COIN_ADMIN_LISTEN": ":9999"}
		for _, row := range []struct {
			what   string
			change func() error
			want   string // of what is told
			ends   event.Outcome
			image  string
			tasks  int
		}{
			{"scale", func() error { return c.Scale(t.Context(), "rng", 4) }, "", "", "v0.1", 4},
			{"update", update(cluster.Change{Image: "coinbench/rng:v2", Rollout: settings("rollback")}),
				"begin rolling 4, slot 1, slot 2, slot 3, slot 4, end completed, coinbench/rng:v2", "", "v2", 4},
			{"restart", func() error { return c.Restart(t.Context(), "rng") },
				"begin rolling 4, slot 1, slot 2, slot 3, slot 4, end completed, coinbench/rng:v2", "", "v2", 4},
			{"of nothing", update(cluster.Change{Image: "coinbench/rng:v2"}), "coinbench/rng:v2", "", "v2", 4},
			{"update that goes back by itself", update(cluster.Change{Image: "coinbench/rng:v9", Environment: sick}),
				"begin rolling 4, slot 1, begin rolling 1 back, slot 1, end rolled_back", event.RolledBack, "v2", 4},
			{"canary", update(cluster.Change{Image: "coinbench/rng:v3", Strategy: cluster.Canary, Slots: []int{1}}),
				"begin canary 1, slot 1, end completed, coinbench/rng:v3", "", "v3", 4},
			{"on", update(cluster.Change{Image: "coinbench/rng:v3"}),
				"begin rolling 4, slot 2, slot 3, slot 4, end completed, coinbench/rng:v3", "", "v3", 4},
			{"back before both", func() error { return c.Rollback(t.Context(), "rng") },
				"begin rolling 4 back, slot 1, slot 2, slot 3, slot 4, end completed, coinbench/rng:v2", "", "v2", 4},
			{"update that pauses", update(cluster.Change{Image: "coinbench/rng:v9", Environment: sick, Rollout: settings("pause")}),
				"begin rolling 4, slot 1, end paused", event.Paused, "v9", 3},
			{"back from it", func() error { return c.Rollback(t.Context(), "rng") },
				"begin rolling 4 back, slot 1, end completed, coinbench/rng:v2", "", "v2", 4},
		} {
			before := len(r.List())
			err := row.change()
			outcome := event.Outcome("")
			var failed *cluster.RolloutError
			if errors.As(err, &failed) {
				outcome = failed.Outcome
			} else if err != nil {
				t.Fatalf("%s: %v", row.what, err)
			}
			if got := rollouts(r.List()[before:]); got != row.want || outcome != row.ends {
				t.Errorf("%s: %s, ends %q; want %s, %q", row.what, got, outcome, row.want, row.ends)
			}
			all, err := c.Status(t.Context())
			if err != nil || len(all) != 1 || all[0].Running != row.tasks || all[0].Image != "coinbench/rng:"+row.image {
				t.Errorf("%s: %+v, %v; want %d tasks of %s", row.what, all, err, row.tasks, row.image)
			}
		}
	})
}

// A sink that takes a second for each event, as on a slow disk, delays neither the watcher nor a change: all happens in the order and,
// but for a few looks, at the instants in and at which it does without.
func TestSlowSinkDelaysNobody(t *testing.T) {
	record := func(t *testing.T, slow time.Duration) (list []history.Event) {
		synctest.Test(t, func(t *testing.T) {
			c, close := three(t, func(e history.Event) {
				time.Sleep(slow)
				list = append(list, e)
			})
			defer close()
			if err := c.Update(t.Context(), "rng", cluster.Change{Image: "coinbench/rng:v2"}); err != nil {
				t.Fatal(err)
			}
		})
		return list
	}
	fast, slow := record(t, 0), record(t, time.Second)
	if len(fast) < 20 || len(slow) != len(fast) {
		t.Fatalf("%d events with a fast sink, %d with a slow one", len(fast), len(slow))
	}
	for i, e := range fast {
		if x := slow[i]; !x.Is(e.Payload) || x.Task != e.Task || (x.At-e.At).Abs() > 3*engine.QuickPoll {
			t.Errorf("event %d: %s %s %s with a fast sink, %s %s %s with a slow one", i, e.At, e.Payload.Kind(), e.Task, x.At, x.Payload.Kind(),
				x.Task)
		}
	}
}
