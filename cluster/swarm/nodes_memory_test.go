package swarm_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/cluster/clustertest"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
	"coinbench/history/event"
)

// On an engine that gives no virtual addresses DNS round robin is used, with a warning; a node is drained, and takes tasks again.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := enginetest.New(t)
		var r clustertest.Events
		c, err := swarm.New(engine.New(client, engine.Options{}), swarm.Config{Sink: r.Add})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		if err := c.Deploy(t.Context(), suite(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Drain(t.Context(), "node2"); err != nil {
			t.Fatal(err)
		}
		list, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Endpoint != string(swarm.DNSRR) {
				t.Errorf("%s: %s", s.Name, s.Endpoint)
			}
			for _, x := range s.Tasks {
				if x.Node != "node1" {
					t.Errorf("%+v", x)
				}
			}
		}
		if err := c.Drain(t.Context(), "node1"); err == nil {
			t.Error("the last node that takes tasks can be drained")
		}
		if err := c.Activate(t.Context(), "node2"); err != nil {
			t.Error(err)
		}
		if err := c.Logs(t.Context(), "rng", new(bytes.Buffer)); err != nil {
			t.Error(err)
		}
		kinds := map[event.Kind]int{}
		for _, e := range r.List() {
			kinds[e.Payload.Kind()]++
		}
		if kinds["node.drained"] != 1 || kinds["node.activated"] != 1 || kinds["warning"] != 1 {
			t.Errorf("told: %v", kinds)
		}
	})
}

// A service is deployed or scaled when the overlay's DNS knows all of its tasks, and not before; where that takes too long, a warning says
// so.
func TestNamesAreKnown(t *testing.T) {
	for gossip, warns := range map[time.Duration]bool{6 * time.Second: false, time.Minute: true} {
		t.Run(gossip.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, client := enginetest.New(t)
				e.Gossip = gossip
				var r clustertest.Events
				c, err := swarm.New(engine.New(client, engine.Options{}), swarm.Config{Sink: r.Add, Endpoint: swarm.DNSRR})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(c.Deploy(t.Context(), suite(t)), c.Scale(t.Context(), "rng", 3), c.Scale(t.Context(), "rng", 0),
					c.Remove(t.Context())); err != nil {
					t.Fatal(err)
				}
				known, warned := map[string]int{}, ""
				for _, x := range r.List() {
					if w, ok := x.Payload.(event.Warning); ok {
						warned += w.Message
					}
					if x.Service == "rng" && (x.Is(event.ServiceDeployed{}) || x.Is(event.ServiceScaled{})) {
						known[x.Detail()["replicas"]+x.Detail()["to"]] = len(strings.Fields(x.Detail()["dns.tasks.rng"]))
					}
				}
				if !warns && (!maps.Equal(known, map[string]int{"1": 1, "3": 3, "0": 0}) || warned != "") {
					t.Errorf("%v %s", known, warned)
				}
				if warns && !strings.Contains(warned, "rng: the overlay's DNS knows 0 of its 3 tasks after 12s") {
					t.Errorf("%v %s", known, warned)
				}
			})
		})
	}
}

// What tasks print is read on, that of tasks that come later too, until the app is removed, or the reader stops.
func TestFollowLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := enginetest.New(t)
		c, err := swarm.New(engine.New(client, engine.Options{}), swarm.Config{Endpoint: swarm.DNSRR})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Deploy(t.Context(), suite(t)); err != nil {
			t.Fatal(err)
		}
		var all, one bytes.Buffer
		ended, stopped := make(chan error, 1), make(chan error, 1)
		reader, stop := context.WithCancel(t.Context())
		go func() { ended <- c.FollowLogs(t.Context(), "rng", &all) }()
		go func() { stopped <- c.FollowLogs(reader, "rng", &one) }()
		time.Sleep(3 * time.Second)
		stop()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("a reader that stopped: %v", err)
		}
		if err := errors.Join(c.Scale(t.Context(), "rng", 2), c.Restart(t.Context(), "rng"), c.Remove(t.Context()), <-ended); err != nil {
			t.Fatal(err)
		}
		if got := one.String(); got != "rng.1#1 | rng.1 listens\n" {
			t.Errorf("the one that stopped read %q", got)
		}
		lines := strings.Split(strings.TrimSpace(all.String()), "\n")
		slices.Sort(lines)
		want := []string{"rng.1#1 | rng.1 listens", "rng.1#2 | rng.1 listens", "rng.2#1 | rng.2 listens", "rng.2#2 | rng.2 listens"}
		if !slices.Equal(lines, want) {
			t.Errorf("read %q", lines)
		}
		if err := c.FollowLogs(t.Context(), "rng", &all); err == nil {
			t.Error("logs of an app that is gone")
		}
	})
}
