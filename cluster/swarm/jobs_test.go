package swarm

import (
	"slices"
	"strings"
	"testing"

	"coinbench/cluster/swarm/observe"
)

// Load generators run on none of the nodes that the scenario does something to, and where no other is left it is said.
func TestJobsSpareNodes(t *testing.T) {
	c := &Cluster{seen: observe.State{Nodes: map[string]observe.Node{"1": {Name: "node1"}, "2": {Name: "node2"},
		"3": {Name: "node3", Down: true}, "4": {Name: "node4", Drained: true}}}}
	if got, err := c.jobConstraints(); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	c.Spare([]string{"node2", "node9"})
	if got, err := c.jobConstraints(); err != nil || !slices.Equal(got, []string{"node.hostname!=node2", "node.hostname!=node9"}) {
		t.Errorf("%v, %v", got, err)
	}
	c.Spare([]string{"node2", "node1"})
	if _, err := c.jobConstraints(); err == nil || !strings.Contains(err.Error(), "drains or cuts off node2, node1") {
		t.Errorf("%v", err)
	}
}
