package describe

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/services/settings"
)

// The colours of the two sets of tasks of a service behind a gateway. Each is a service of the engine, with a name of its own in the
// overlay; the service's name leads to the gateway.
const (
	Blue  = "blue"
	Green = "green"
)

// FirstColour is the set that a deployment makes; "": the service has no gateway.
func FirstColour(s cluster.Service) string {
	if s.Gateway {
		return Blue
	}
	return ""
}

// OtherColour is that of a service's other set.
func OtherColour(colour string) string {
	if colour == Blue {
		return Green
	}
	return Blue
}

const gatewaySuffix = "-gateway"

// GatewayName is the name of the gateway in front of a service.
func GatewayName(service string) string { return service + gatewaySuffix }

// front is the service behind a gateway of ours; "": it is none.
func front(s cluster.Service) string {
	name, ok := strings.CutSuffix(s.Name, gatewaySuffix)
	if !ok || cluster.ParseImage(s.Image).Kind != settings.Gateway {
		return ""
	}
	return name
}

// setName is the engine's name of a set.
func setName(app, service, colour string) string {
	if colour == Green {
		service += "-" + Green
	}
	return engine.ServiceName(app, service)
}

// Alias is the name in the overlay that leads to a service's tasks, or to those of one set.
func Alias(s cluster.Service, colour string) string {
	if colour != "" {
		return s.Name + "-" + colour
	}
	if behind := front(s); behind != "" {
		return behind
	}
	return s.Name
}

// Upstream is where a gateway finds a set.
func Upstream(s cluster.Service, colour string) string {
	listen, _ := s.Listens()
	return Alias(s, colour) + ":" + strconv.Itoa(listen)
}

// WithGateways puts a gateway after each service that shall have one. It takes over the service's published ports, and who
// depends on the service depends on it.
func WithGateways(services []cluster.Service, tag string) []cluster.Service {
	behind := map[string]bool{}
	var all []cluster.Service
	for _, s := range services {
		s.DependsOn = slices.Clone(s.DependsOn)
		for _, name := range s.DependsOn {
			if behind[name] {
				s.DependsOn = append(s.DependsOn, GatewayName(name))
			}
		}
		if !s.Gateway {
			all = append(all, s)
			continue
		}
		behind[s.Name] = true
		listen, _ := s.Listens()
		g := cluster.Service{
			Name: GatewayName(s.Name), Image: "coinbench/gateway:" + tag, Replicas: 1, Ports: s.Ports, DependsOn: []string{s.Name},
			Environment: map[string]string{"COIN_LISTEN": ":" + strconv.Itoa(listen), "COIN_UPSTREAM": Upstream(s, Blue) + "," + Upstream(s, Green)},
			StopGrace:   10 * time.Second, Restart: cluster.Restart{Condition: "any", Delay: time.Second},
			Update:  cluster.Rollout{Parallelism: 1, Order: "start-first", Monitor: 5 * time.Second, FailureAction: "pause"},
			Balance: s.Balance, Endpoint: s.Endpoint,
			Health: &cluster.Health{Test: []string{"CMD", "/coinbench", "healthcheck", "http://127.0.0.1:8081/healthz"},
				Interval: time.Second, Timeout: 2 * time.Second, Retries: 3, StartPeriod: 10 * time.Second},
		}
		g.Rollback = g.Update
		s.Ports = nil
		all = append(all, s, g)
	}
	return all
}
