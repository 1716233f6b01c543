package scenarios

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"coinbench/cluster"
)

// Deploy brings the app up. Services that are not named have the Compose file's own numbers. Where the scenario is played on an app that
// is up, it changes what is named of it.
type Deploy struct {
	Services Map[Wish]
	Attach   bool // the key attach besides the services: play on the app that is up, and leave it up
}

// attachKey is the key that is no service.
const attachKey = "attach"

// Wish is what a service shall be; fields that are absent stay as the Compose file has them.
type Wish struct {
	// Number of replicas; 0 for none.
	Replicas *int `json:"replicas"`
	// Environment over that of the Compose file and the profile; an empty value removes a variable.
	Environment Map[string] `json:"environment"`
	// Another image or tag.
	Image string `json:"image"`
	// How connections are spread over the replicas.
	Balance string `json:"balance" jsonschema:"enum=round-robin,enum=round-robin-per-client,enum=random,enum=least-connections"`
	// A gateway in front of the service, for a blue-green update on a cluster whose own balancing cannot be switched (swarm); elsewhere it
	// changes nothing.
	Gateway *bool `json:"gateway"`
	// Time from the signal to stop to the kill. Default: the Compose file's, or 10s.
	StopGrace *time.Duration `json:"stop_grace"`
	// What changes of the health check.
	Healthcheck *Healthcheck `json:"healthcheck"`
}

// Healthcheck changes a health check, in the words of Compose.
type Healthcheck struct {
	// None: a replica is in rotation as soon as it is started.
	Disable bool `json:"disable" jsonschema:"default=false"`
	// Time between two checks, and before the first one.
	Interval *time.Duration `json:"interval"`
	// Longest time of a check.
	Timeout *time.Duration `json:"timeout"`
	// Failures in a row that make a replica unhealthy.
	Retries *int `json:"retries"`
	// Time after the start in which failures do not count.
	StartPeriod *time.Duration `json:"start_period"`
	// URL that is asked for, within the replica.
	Test string `json:"test"`
}

// changed is the health check as it shall be.
func (h *Healthcheck) changed(in *cluster.Health) *cluster.Health {
	if h == nil {
		return in
	}
	if h.Disable || in == nil {
		return nil
	}
	out := *in
	if h.Interval != nil {
		out.Interval = *h.Interval
	}
	if h.Timeout != nil {
		out.Timeout = *h.Timeout
	}
	if h.Retries != nil {
		out.Retries = *h.Retries
	}
	if h.StartPeriod != nil {
		out.StartPeriod = *h.StartPeriod
	}
	if h.Test != "" {
		out.Test = []string{"CMD", "/coinbench", "healthcheck", h.Test}
	}
	return &out
}

func (w *Wish) short() any { return &w.Replicas }

func (s *Deploy) decode(d *decoder, node ast.Node) {
	rest := node
	if mapping, ok := node.(*ast.MappingNode); ok {
		services := *mapping
		services.Values = nil
		for _, pair := range mapping.Values {
			if key, _ := text(pair.Key); key == attachKey {
				d.decode(pair.Value, &s.Attach)
				continue
			}
			services.Values = append(services.Values, pair)
		}
		rest = &services
	} else if pair, ok := node.(*ast.MappingValueNode); ok {
		if key, _ := text(pair.Key); key == attachKey {
			d.decode(pair.Value, &s.Attach)
			return
		}
	}
	d.decode(rest, &s.Services)
}

func (s *Deploy) title() string {
	var parts []string
	for _, e := range s.Services {
		if e.Value.Replicas != nil {
			parts = append(parts, fmt.Sprintf("%s %d", e.Key, *e.Value.Replicas))
		}
	}
	switch {
	case s.Attach && len(parts) == 0:
		return "take the app that is up"
	case s.Attach:
		return "take the app that is up, with " + strings.Join(parts, ", ")
	case len(parts) == 0:
		return "deploy the app"
	}
	return "deploy " + strings.Join(parts, ", ")
}

func (s *Deploy) check(p *plan) {
	if p.deployed {
		p.wrong(nil, "the app is deployed already; accepted: one deploy step, then scale and update")
	}
	p.deployed = true
	s.Attach = s.Attach || p.attached
	p.length = 3 * time.Second
	for i := range s.Services {
		e := &s.Services[i]
		service := p.service(e.Key, e)
		if service == nil {
			continue
		}
		if e.Value.Replicas != nil {
			p.replicas(service, *e.Value.Replicas, e.Value.Replicas)
			service.Replicas = *e.Value.Replicas
			p.wrote(e.Value.Replicas, "services", e.Key, "deploy", "replicas")
		}
		if e.Value.Image != "" {
			p.image(*service, &e.Value.Image)
			p.wrote(&e.Value.Image, "services", e.Key, "image")
			service.Image = e.Value.Image
		}
		if b := p.balance(&e.Value.Balance); b != "" {
			service.Balance = b
			p.wrote(&e.Value.Balance, "services", e.Key, "deploy", "labels", cluster.BalanceLabel)
		}
		if g := e.Value.Gateway; g != nil {
			service.Gateway = *g
		}
		if g := e.Value.StopGrace; g != nil {
			p.bounded(g, "stop_grace")
			service.StopGrace = *g
		}
		if h := e.Value.Healthcheck; h != nil {
			for _, d := range []struct {
				of  *time.Duration
				key string
			}{{h.Interval, "interval"}, {h.Timeout, "timeout"}, {h.StartPeriod, "start_period"}} {
				if d.of != nil {
					p.positive(d.of, d.key)
				}
			}
			service.Health = h.changed(service.Health)
			p.wrote(&h.Test, "services", e.Key, "healthcheck", "test")
		}
		p.settle(service, e.Value.Environment, e)
	}
}

// desired is the app as the step deploys it.
func (s *Deploy) desired(app cluster.App) cluster.App {
	p := newPlan(&decoder{at: map[any]place{}}, app)
	p.step = s
	s.check(p) // what could be wrong was found when the scenario was parsed
	return p.app
}

func (s *Deploy) play(ctx context.Context, st *stage) error {
	app := s.desired(st.scenario.App)
	if s.Attach {
		return st.adjust(ctx, app)
	}
	st.doing("starting %s", plural(len(app.Services), "service"))
	if err := st.cluster.Deploy(ctx, app); err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	st.app = app
	return nil
}

// copied is the app with services of its own.
func copied(app cluster.App) cluster.App {
	app.Services = append([]cluster.Service(nil), app.Services...)
	return app
}
