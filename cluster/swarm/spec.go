package swarm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
)

// describe turns what a service shall be into the engine's words. The caller holds mu.
func (c *Cluster) describe(s *service, order int) swarm.ServiceSpec {
	w := s.spec
	labels := c.engine.Labels(c.app.Name, "app")
	labels[engine.StackLabel] = c.app.Name
	labels[engine.OrderLabel] = strconv.Itoa(order)
	labels[engine.ServiceLabel] = encoded(w)
	if s.previous != nil {
		labels[engine.PriorLabel] = encoded(*s.previous)
	}
	if s.colour != "" {
		labels[engine.ColourLabel] = s.colour
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
		Annotations: swarm.Annotations{Name: setName(c.app.Name, w.Name, s.colour), Labels: labels},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: c.engine.Reference(w.Image), Env: list, StopGracePeriod: &grace, ReadOnly: ours,
				Labels: map[string]string{engine.RunLabel: c.engine.Run, engine.AppLabel: c.app.Name},
			},
			RestartPolicy: restart(w.Restart),
			Placement:     &swarm.Placement{Constraints: w.Constraints},
			Networks:      []swarm.NetworkAttachmentConfig{{Target: c.network, Aliases: []string{alias(w, s.colour)}}},
			ForceUpdate:   s.force,
		},
		UpdateConfig:   updateConfig(w.Update),
		RollbackConfig: updateConfig(w.Rollback),
		EndpointSpec:   &swarm.EndpointSpec{Mode: swarm.ResolutionMode(s.mode)},
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
		if other, ok := c.config.Publish[w.Name]; ok {
			if published = other; i > 0 {
				break
			}
		}
		mode := swarm.PortConfigPublishModeIngress
		if p.Mode == "host" || s.mode == DNSRR { // the engine refuses the routing mesh without virtual addresses
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

func updateConfig(r cluster.Rollout) *swarm.UpdateConfig {
	return &swarm.UpdateConfig{
		Parallelism: uint64(r.Parallelism), Delay: r.Delay, Order: swarm.UpdateOrder(r.Order), Monitor: r.Monitor,
		MaxFailureRatio: float32(r.MaxFailureRatio), FailureAction: swarm.FailureAction(r.FailureAction),
	}
}

// mode is how a service's name shall lead to its replicas. The caller holds mu.
func (c *Cluster) mode(s cluster.Service) EndpointMode {
	switch {
	case c.config.Endpoint != Auto:
		return c.config.Endpoint
	case !c.vip || s.Balance == cluster.Random || s.Endpoint == string(DNSRR):
		return DNSRR
	}
	return VIP
}

// settle says what a service really gets: the endpoint mode decides the balancing.
func (c *Cluster) settle(s *service) {
	s.mode = c.mode(s.spec)
	s.spec.Endpoint = string(s.mode)
	s.spec.Balance = cluster.RoundRobin
	if s.mode == DNSRR {
		s.spec.Balance = cluster.Random
	}
}

func nth(service string, slot int) string { return fmt.Sprintf("%s.%d", service, slot) }
