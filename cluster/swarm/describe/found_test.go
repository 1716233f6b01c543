package describe

import (
	"slices"
	"strings"
	"testing"

	api "github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
)

// The routing mesh answers at the ports that the engine has chosen, but for those of hosts.
func TestMeshPorts(t *testing.T) {
	got := MeshPorts(api.Service{Endpoint: api.Endpoint{Ports: []api.PortConfig{
		{PublishMode: api.PortConfigPublishModeIngress, PublishedPort: 30000},
		{PublishMode: api.PortConfigPublishModeHost, PublishedPort: 0},
	}}})
	if !slices.Equal(got, []int{30000}) {
		t.Errorf("published at %v", got)
	}
}

// An app's services come in the order in which they were deployed, with what their labels and the engine say of them.
func TestServices(t *testing.T) {
	service := func(name, order, image, prior string) api.Service {
		s := set(name, name, "", false, 0)
		s.Spec.Labels[engine.OrderLabel] = order
		s.Spec.Labels[engine.ServiceLabel] = Encode(cluster.Service{Name: name, Image: image, Replicas: 1})
		if prior != "" {
			s.Spec.Labels[engine.PriorLabel] = Encode(cluster.Service{Name: name, Image: prior})
		}
		five := uint64(5)
		s.Spec.Mode.Replicated = &api.ReplicatedService{Replicas: &five}
		return s
	}
	list := []api.Service{service("worker", "10", "worker:v1", ""), service("rng", "2", "rng:v2", "rng:v1")}
	found, err := Services(list)
	if err != nil || len(found) != 2 || found[0].Spec.Image != "rng:v2" || found[1].Spec.Image != "worker:v1" {
		t.Fatalf("%+v, %v", found, err)
	}
	if found[0].Previous == nil || found[0].Previous.Image != "rng:v1" || found[1].Previous != nil || found[0].Spec.Replicas != 5 {
		t.Errorf("%+v", found)
	}
	for _, label := range []string{engine.ServiceLabel, engine.PriorLabel} {
		broken := service("rng", "2", "rng:v2", "rng:v1")
		broken.Spec.Labels[label] = "{"
		if _, err := Services([]api.Service{broken}); err == nil || !strings.Contains(err.Error(), "the label "+label+" of rng: ") {
			t.Errorf("with a broken label: %v", err)
		}
	}
}
