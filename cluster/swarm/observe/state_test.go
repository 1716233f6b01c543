package observe

import (
	"slices"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
)

// What is printed of published ports is where they are: the mesh's at the manager, a host port at the node of its task, with the port
// that the engine has chosen.
func TestPublishedPortsAreAsTheyAre(t *testing.T) {
	v := Service{ID: "w", Spec: cluster.Service{Name: "webui", Replicas: 2}}
	port := func(target, published uint32) swarm.PortConfig {
		return swarm.PortConfig{PublishMode: swarm.PortConfigPublishModeHost, TargetPort: target, PublishedPort: published}
	}
	runs := func(id, on string, slot int, ports ...swarm.PortConfig) swarm.Task {
		return swarm.Task{ID: id, ServiceID: "w", NodeID: on, Slot: slot, DesiredState: swarm.TaskStateRunning,
			Status: swarm.TaskStatus{State: swarm.TaskStateRunning, PortStatus: swarm.PortStatus{Ports: ports}}}
	}
	node := func(id, name, address string) swarm.Node {
		return swarm.Node{ID: id, Description: swarm.NodeDescription{Hostname: name}, Status: swarm.NodeStatus{Addr: address}}
	}
	s, _ := State{}.Look(App{Services: []Service{v}}, Answer{
		Nodes: []swarm.Node{node("n1", "node1", "10.77.0.1"), node("n2", "node2", "fd00::2")},
		Tasks: []swarm.Task{runs("a", "n1", 1, port(80, 32768)), runs("b", "n2", 2, port(80, 32771), port(80, 32771) /* of IPv6 */, port(81, 0))},
	}, time.Unix(0, 0))
	want := []string{"10.77.0.1:30000", "10.77.0.1:32768", "[fd00::2]:32771"}
	if got := s.Published(v, []int{30000}, "n1"); !slices.Equal(got, want) {
		t.Errorf("published at %v, want %v", got, want)
	}
}
