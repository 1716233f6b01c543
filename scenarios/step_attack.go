package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/sim"
	"coinbench/history"
	"coinbench/loadgen"
)

// Attack sends requests as they fall due, whether those before were answered or not: an open workload.
type Attack struct {
	Request
	// When requests fall due: 500/s, ramp(0/s, 500/s, 30s), poisson(200/s) ...
	Rate string `json:"rate" jsonschema:"required"`
	// Length of the load. In the background it may be absent: then the load ends with the last step.
	For time.Duration `json:"for"`
	// The following steps run alongside the load.
	Background bool `json:"background" jsonschema:"default=false"`
	// Longest time for a connection, for an answer's header, and for its body, each.
	Timeout time.Duration `json:"timeout" jsonschema:"default=30s"`
	// A request that has no answer when the load ends has failed if it is older; a younger one is left out.
	Patience time.Duration `json:"patience" jsonschema:"default=5s"`
	// What plays the load. Default: coinbench. Of vegeta's loads response time and lag are not known.
	Engine string `json:"engine" jsonschema:"enum=coinbench,enum=vegeta"`
	// Most connections at once, or of vegeta's attackers. Default: 10000.
	Connections int `json:"connections"`
	// Show what the load felt of rollouts and faults, and judge none by it: too few requests do not matter, and its failures are not in
	// lost_requests.
	ObserveOnly bool `json:"observe_only" jsonschema:"default=false"`
	// Keep connections. Otherwise each request has a new one, and is balanced on its own.
	Reuse bool `json:"reuse" jsonschema:"default=false"`
}

func (s *Attack) preset() {
	s.Path, s.Type, s.Timeout, s.Patience = "/", "application/octet-stream", 30*time.Second, history.DefaultPatience
}

func (s *Attack) title() string {
	title := fmt.Sprintf("attack %s %s%s with %s", s.method(), s.Service, s.Path, s.Rate)
	if s.For > 0 {
		title += fmt.Sprintf(" for %s", s.For)
	}
	if s.Background {
		title += ", in the background"
	}
	return title
}

func (s *Attack) check(p *plan) {
	p.running()
	p.service(s.Service, &s.Service)
	s.Request.check(p)
	if s.Rate == "" {
		p.wrong(&s.Rate, "no rate is given; accepted: such as rate: 500/s")
	} else if _, err := loadgen.ParseSchedule(s.Rate); err != nil {
		p.wrong(&s.Rate, "rate %q: %v", s.Rate, err)
	}
	if !s.Background || s.For > 0 {
		p.positive(&s.For, "for")
	}
	p.positive(&s.Timeout, "timeout")
	if s.Engine != "" && s.Engine != "coinbench" && s.Engine != loadgen.Vegeta {
		p.wrong(&s.Engine, "%s", unknown("engine", s.Engine, []string{"coinbench", loadgen.Vegeta}))
	}
	if s.Connections < 0 || s.Connections > mostClients {
		p.wrong(&s.Connections, "connections is %d; accepted: 1 to %d", s.Connections, mostClients)
	}
	p.positive(&s.Patience, "patience")
	p.load(s.name(), &s.Service)
	if s.Background {
		p.beside[s.name()] = beside{s.Service, !s.ObserveOnly}
	} else {
		p.length = s.For
	}
}

func (s *Attack) supported(c cluster.Cluster) error {
	if _, virtual := c.(*sim.Cluster); virtual && s.Engine == loadgen.Vegeta {
		return errors.New("vegeta sends on the network, and this cluster's time is virtual; choose another cluster with --cluster, or leave " +
			"out the engine")
	}
	return nil
}

func (s *Attack) play(ctx context.Context, st *stage) error {
	url, err := st.url(ctx, s.Service, s.Port, s.Path)
	if err != nil {
		return err
	}
	w := loadgen.Workload{
		Name: s.name(), Targets: []loadgen.Target{s.target(url, st.scenario.Seed)}, Schedule: s.Rate, Duration: s.For, Patience: s.Patience,
		Reuse:       loadgen.Reuse{PerRequest: !s.Reuse},
		Timeouts:    loadgen.Timeouts{Connect: s.Timeout, Header: s.Timeout, Body: s.Timeout},
		Connections: s.Connections, ObserveOnly: s.ObserveOnly,
		Seed: st.scenario.Seed,
	}
	if s.Engine == loadgen.Vegeta {
		w.Engine = s.Engine
	}
	if s.For == 0 {
		w.Duration = longest
	}
	if s.Background {
		st.loadBeside(ctx, s.Service, w, s.For == 0)
		return nil
	}
	st.doing("sending %s", s.Rate)
	return st.load(ctx, s.Service, w)
}
