// Package describe says what a service is in the engine's words, and what somebody may have made of it since. It is pure.
package describe

import (
	"maps"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
)

// App is what a service is a part of.
type App struct {
	Engine  *engine.Engine // of which the names are used alone
	Name    string
	Network string         // ID of the overlay
	Publish map[string]int // the port to publish a service at instead of its own
}

// Set is a set of a service's tasks, which is a service of the engine. There are two only behind a gateway.
type Set struct {
	Spec     cluster.Service
	Previous *cluster.Service     // before the last update; nil: there was none
	Mode     swarm.ResolutionMode // how its name leads to the tasks
	Force    uint64               // counts forced updates
	Colour   string               // "": there is no gateway
}

// Service is a set in the engine's words. order is the place of the service in its app.
func (a App) Service(s Set, order int) swarm.ServiceSpec {
	w := s.Spec
	labels := a.Engine.Labels(a.Name, "app")
	labels[engine.StackLabel] = a.Name
	labels[engine.OrderLabel] = strconv.Itoa(order)
	labels[engine.ServiceLabel] = Encode(w)
	if s.Previous != nil {
		labels[engine.PriorLabel] = Encode(*s.Previous)
	}
	if s.Colour != "" {
		labels[engine.ColourLabel] = s.Colour
	}
	ours := cluster.ParseImage(w.Image).Coinbench()
	replica := w.Name + ".{{.Task.Slot}}"
	if w.Global {
		replica = w.Name + ".{{.Node.Hostname}}"
	}
	env := maps.Clone(w.Environment)
	if env == nil {
		env = map[string]string{}
	}
	if ours {
		env["COIN_REPLICA"] = replica
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	grace := w.StopGrace
	spec := swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: setName(a.Name, w.Name, s.Colour), Labels: labels},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: a.Engine.Reference(w.Image), Env: list, StopGracePeriod: &grace, ReadOnly: ours,
				Labels: map[string]string{engine.RunLabel: a.Engine.Run, engine.AppLabel: a.Name},
			},
			RestartPolicy: restart(w.Restart),
			Placement:     &swarm.Placement{Constraints: w.Constraints},
			Networks:      []swarm.NetworkAttachmentConfig{{Target: a.Network, Aliases: []string{Alias(w, s.Colour)}}},
			ForceUpdate:   s.Force,
		},
		UpdateConfig:   UpdateConfig(w.Update),
		RollbackConfig: UpdateConfig(w.Rollback),
		EndpointSpec:   &swarm.EndpointSpec{Mode: s.Mode},
	}
	if !ownCommand(w) {
		spec.TaskTemplate.ContainerSpec.Args = w.Command
	}
	if h := w.Health; h != nil {
		spec.TaskTemplate.ContainerSpec.Healthcheck = &container.HealthConfig{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries, StartPeriod: h.StartPeriod,
		}
	}
	if w.Global {
		spec.Mode.Global = &swarm.GlobalService{}
	} else {
		n := uint64(w.Replicas)
		spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &n}
	}
	for i, p := range w.Ports {
		published := p.Published
		if other, ok := a.Publish[w.Name]; ok {
			if published = other; i > 0 {
				break
			}
		}
		mode := swarm.PortConfigPublishModeIngress
		if p.Mode == "host" || s.Mode == swarm.ResolutionModeDNSRR { // the engine refuses the routing mesh without virtual addresses
			mode = swarm.PortConfigPublishModeHost
		}
		spec.EndpointSpec.Ports = append(spec.EndpointSpec.Ports, swarm.PortConfig{
			Protocol: network.TCP, TargetPort: uint32(p.Target), PublishedPort: uint32(published), PublishMode: mode,
		})
	}
	return spec
}

// ownCommand says that a service's command is what its image does anyway, or that there is none.
func ownCommand(s cluster.Service) bool {
	return len(s.Command) == 0 || slices.Equal(s.Command, []string{"coinbench", "service", cluster.ParseImage(s.Image).Kind})
}

func restart(r cluster.Restart) *swarm.RestartPolicy {
	p := &swarm.RestartPolicy{Condition: swarm.RestartPolicyCondition(r.Condition), Delay: &r.Delay, Window: &r.Window}
	if r.MaxAttempts > 0 {
		n := uint64(r.MaxAttempts)
		p.MaxAttempts = &n
	}
	return p
}

// UpdateConfig are the settings under which the engine replaces tasks.
func UpdateConfig(r cluster.Rollout) *swarm.UpdateConfig {
	return &swarm.UpdateConfig{
		Parallelism: uint64(r.Parallelism), Delay: r.Delay, Order: swarm.UpdateOrder(r.Order), Monitor: r.Monitor,
		MaxFailureRatio: float32(r.MaxFailureRatio), FailureAction: swarm.FailureAction(r.FailureAction),
	}
}
