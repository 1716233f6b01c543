package swarm

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/services/settings"
)

// The two sets of tasks of a service behind a gateway. Each is a service of the engine, with a name of its own in the overlay;
// the service's name leads to the gateway.
const (
	blue  = "blue"
	green = "green"
)

// firstColour is the set that a deployment makes; "": the service has no gateway.
func firstColour(s cluster.Service) string {
	if s.Gateway {
		return blue
	}
	return ""
}

func otherColour(colour string) string {
	if colour == blue {
		return green
	}
	return blue
}

const gatewaySuffix = "-gateway"

func gatewayName(service string) string { return service + gatewaySuffix }

// front is the service that a gateway of ours stands in front of; "": it is none.
func front(s cluster.Service) string {
	name, ok := strings.CutSuffix(s.Name, gatewaySuffix)
	if !ok || cluster.ParseImage(s.Image).Kind != settings.Gateway {
		return ""
	}
	return name
}

// setName is the engine's name of a set.
func setName(app, service, colour string) string {
	if colour == green {
		service += "-" + green
	}
	return engine.ServiceName(app, service)
}

// alias is the name in the overlay that leads to a service's tasks, or to those of one set.
func alias(s cluster.Service, colour string) string {
	if colour != "" {
		return s.Name + "-" + colour
	}
	if behind := front(s); behind != "" {
		return behind
	}
	return s.Name
}

// upstream is where a gateway finds a set.
func upstream(s cluster.Service, colour string) string {
	listen, _ := s.Listens()
	return alias(s, colour) + ":" + strconv.Itoa(listen)
}

// withGateways puts a gateway after each service that shall have one. It takes over the service's published ports, and who
// depends on the service depends on it.
func withGateways(services []cluster.Service, tag string) []cluster.Service {
	behind := map[string]bool{}
	var all []cluster.Service
	for _, s := range services {
		s.DependsOn = slices.Clone(s.DependsOn)
		for _, name := range s.DependsOn {
			if behind[name] {
				s.DependsOn = append(s.DependsOn, gatewayName(name))
			}
		}
		if !s.Gateway {
			all = append(all, s)
			continue
		}
		behind[s.Name] = true
		listen, _ := s.Listens()
		g := cluster.Service{
			Name: gatewayName(s.Name), Image: "coinbench/gateway:" + tag, Replicas: 1, Ports: s.Ports, DependsOn: []string{s.Name},
			Environment: map[string]string{"COIN_LISTEN": ":" + strconv.Itoa(listen), "COIN_UPSTREAM": upstream(s, blue) + "," + upstream(s, green)},
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

const switchTimeout = 20 * time.Second

// route makes the gateway in front of a service send all new requests to one of its sets, as soon as the gateway finds the
// addresses of all of its replicas.
func (c *Cluster) route(ctx context.Context, s *service, colour string) error {
	gate, err := c.find(gatewayName(s.name))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, switchTimeout, fmt.Errorf("not done within %s", switchTimeout))
	defer cancel()
	c.mu.Lock()
	to, least := upstream(s.spec, colour), s.spec.Replicas
	if s.mode == VIP {
		least = 1 // the virtual address
	}
	_, admin := gate.spec.Listens()
	c.mu.Unlock()
	for {
		_, web, err := c.overlay.Relay(ctx)
		var doors []string
		if err == nil {
			c.mu.Lock()
			for _, t := range c.seen.Live(gate.name) {
				if t.Joined && !t.StopRequested() && t.IP != "" {
					doors = append(doors, net.JoinHostPort(t.IP, strconv.Itoa(admin)))
				}
			}
			c.mu.Unlock()
			if len(doors) == 0 {
				err = fmt.Errorf("no task of %s runs", gate.name)
			}
		}
		for _, door := range doors {
			if err == nil {
				err = putUpstream(ctx, web, door, to, least)
			}
		}
		if err == nil {
			return nil
		}
		if c.Sleep(ctx, engine.QuickPoll) != nil {
			return fmt.Errorf("switch %s to %s: %w: %w", gate.name, to, context.Cause(ctx), err)
		}
	}
}

func putUpstream(ctx context.Context, web *http.Client, door, to string, least int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("http://%s/upstream?addresses=%d", door, least),
		strings.NewReader(to))
	if err != nil {
		return err
	}
	answer, err := web.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1024))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d: %s", answer.StatusCode, strings.TrimSpace(string(text)))
	}
	return nil
}
