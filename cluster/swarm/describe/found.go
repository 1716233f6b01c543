package describe

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
)

// Found is a service of an app that an earlier process deployed.
type Found struct {
	Spec     cluster.Service  // as it was deployed, with as many replicas as it has now
	Previous *cluster.Service // what a rollback returns to; nil: nothing
	Engine   swarm.Service    // the set in rotation, in the engine's words
	Other    swarm.Service    // the set that an update which was cut off has left; without an ID: none
}

// Label is a label of the set in rotation.
func (f Found) Label(name string) string { return f.Engine.Spec.Labels[name] }

// Services reads an app's services from what the engine lists of it, in the order in which they were deployed.
func Services(list []swarm.Service) (found []Found, err error) {
	slices.SortFunc(list, func(a, b swarm.Service) int {
		x, _ := strconv.Atoi(a.Spec.Labels[engine.OrderLabel])
		y, _ := strconv.Atoi(b.Spec.Labels[engine.OrderLabel])
		return cmp.Compare(x, y)
	})
	list, others := pairs(list)
	for _, x := range list {
		f := Found{Engine: x, Other: others[x.ID]}
		decode := func(label string) (s cluster.Service) {
			var wrong error
			if s, wrong = Decode(f.Label(label)); wrong != nil && err == nil {
				err = fmt.Errorf("the label %s of %s: %w", label, x.Spec.Name, wrong)
			}
			return s
		}
		f.Spec = decode(engine.ServiceLabel)
		if r := x.Spec.Mode.Replicated; r != nil && r.Replicas != nil {
			f.Spec.Replicas = int(*r.Replicas) // docker service scale may have changed it
		}
		if f.Label(engine.PriorLabel) != "" {
			previous := decode(engine.PriorLabel)
			f.Previous = &previous
		}
		found = append(found, f)
	}
	return found, err
}

// MeshPorts are the ports at which the routing mesh publishes a service.
func MeshPorts(s swarm.Service) (ports []int) {
	for _, p := range s.Endpoint.Ports {
		if p.PublishMode != swarm.PortConfigPublishModeHost {
			ports = append(ports, int(p.PublishedPort))
		}
	}
	return ports
}
