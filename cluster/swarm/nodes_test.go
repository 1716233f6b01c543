package swarm

import (
	"io"
	"maps"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// What a run did to a node is undone by its labels alone, and nothing else of the node is touched.
func TestRestore(t *testing.T) {
	drained := func(labels map[string]string) swarm.NodeSpec {
		return swarm.NodeSpec{Annotations: swarm.Annotations{Labels: labels}, Role: swarm.NodeRoleWorker,
			Availability: swarm.NodeAvailabilityDrain}
	}
	ours := map[string]string{"disk": "ssd", appLabel: "coins", runLabel: "1", modeLabel: "run", availabilityLabel: "pause"}
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
		did := restore(&spec, c.app, c.run)
		if spec.Availability != c.want || len(spec.Labels) != c.left || spec.Labels["disk"] != "ssd" ||
			did != (c.left == 1 && len(c.labels) > 1) {
			t.Errorf("%s: did %v: %+v", c.name, did, spec)
		}
	}
}

// An engine that does not answer is waited for as long as a change may take.
func TestLost(t *testing.T) {
	engine, err := client.New(client.WithHost("unix:///nowhere.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	c, err := New(Config{Client: engine, Deadline: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if c.Lost() != nil {
		t.Error("lost before anybody asked")
	}
	c.seen, _ = c.seen.Heard(io.EOF, time.Now().Add(-time.Minute))
	if c.Lost() != nil {
		t.Error("lost after a minute of an hour")
	}
	c.seen, _ = c.seen.Forget().Heard(io.EOF, time.Now().Add(-2*time.Hour))
	if c.Lost() == nil {
		t.Error("not lost after two hours")
	}
}

func TestPartitionsNeedALab(t *testing.T) {
	if err := new(Cluster).Partitions(); err == nil {
		t.Error("a node can be cut off without a lab")
	}
}
