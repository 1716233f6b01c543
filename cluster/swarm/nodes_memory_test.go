package swarm_test

import (
	"bytes"
	"testing"
	"testing/synctest"

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
