package swarm_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
	"coinbench/history/event"
)

// On an engine that gives no virtual addresses DNS round robin is used, with a warning; a node is drained, and takes tasks again.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := enginetest.New(t)
		var r record
		c, err := swarm.New(engine.New(client, engine.Options{}), swarm.Config{Sink: r.take})
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
		for _, e := range r.events {
			kinds[e.Payload.Kind()]++
		}
		if kinds["node.drained"] != 1 || kinds["node.activated"] != 1 || kinds["warning"] != 1 {
			t.Errorf("told: %v", kinds)
		}
	})
}

// A service is deployed or scaled when the overlay's DNS knows all of its tasks, and not before; where that takes too long, a warning says so.
func TestNamesAreKnown(t *testing.T) {
	for gossip, warns := range map[time.Duration]bool{6 * time.Second: false, time.Minute: true} {
		t.Run(gossip.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, client := enginetest.New(t)
				e.Gossip = gossip
				var r record
				c, err := swarm.New(engine.New(client, engine.Options{}), swarm.Config{Sink: r.take, Endpoint: swarm.DNSRR})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(c.Deploy(t.Context(), suite(t)), c.Scale(t.Context(), "rng", 3), c.Scale(t.Context(), "rng", 0), c.Remove(t.Context())); err != nil {
					t.Fatal(err)
				}
				known, warned := map[string]int{}, ""
				for _, x := range r.events {
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
