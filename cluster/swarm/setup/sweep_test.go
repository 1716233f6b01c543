package setup

import (
	"maps"
	"testing"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster/swarm/engine"
)

// What a run did to a node is undone by its labels alone, and nothing else of the node is touched.
func TestRestore(t *testing.T) {
	drained := func(labels map[string]string) swarm.NodeSpec {
		return swarm.NodeSpec{Annotations: swarm.Annotations{Labels: labels}, Role: swarm.NodeRoleWorker,
			Availability: swarm.NodeAvailabilityDrain}
	}
	ours := map[string]string{"disk": "ssd", engine.AppLabel: "coins", engine.RunLabel: "1", engine.ModeLabel: "run",
		engine.AvailabilityLabel: "pause"}
	for _, c := range []struct {
		name, app, run string
		labels         map[string]string
		want           swarm.NodeAvailability
		left           int // labels
	}{
		{"its own run", "coins", "1", ours, swarm.NodeAvailabilityPause, 1},
		{"any run", "coins", "", ours, swarm.NodeAvailabilityPause, 1},
		{"another run", "coins", "2", ours, swarm.NodeAvailabilityDrain, len(ours)},
		{"another app", "others", "", ours, swarm.NodeAvailabilityDrain, len(ours)},
		{"somebody else", "coins", "", map[string]string{"disk": "ssd"}, swarm.NodeAvailabilityDrain, 1},
	} {
		spec := drained(maps.Clone(c.labels))
		did := Restore(&spec, c.app, c.run)
		if spec.Availability != c.want || len(spec.Labels) != c.left || spec.Labels["disk"] != "ssd" ||
			did != (c.left == 1 && len(c.labels) > 1) {
			t.Errorf("%s: did %v: %+v", c.name, did, spec)
		}
	}
}
