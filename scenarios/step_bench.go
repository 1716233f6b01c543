package scenarios

import (
	"context"
	"fmt"
	"time"

	"coinbench/history"
	"coinbench/loadgen"
)

// Bench sends requests to a service, as ApacheBench does: each client sends its next request when its last one was answered.
// Each number of clients is a load of its own, NAME/cCLIENTS.
type Bench struct {
	Request
	// Numbers of clients, one load for each.
	Clients Counts `json:"clients" jsonschema:"default=1"`
	// Requests in all of a load.
	Requests uint64 `json:"requests"`
	// Length of a load, instead of a number of requests.
	For time.Duration `json:"for"`
	// The following steps run alongside the one load, which ends with the last step unless it has an end of its own.
	Background bool `json:"background" jsonschema:"default=false"`
	// A request that has no answer when the load ends has failed if it is older; a younger one is left out.
	Patience time.Duration `json:"patience" jsonschema:"default=5s"`
	// Show what the load felt of rollouts and faults, and judge none by it: too few requests do not matter, and its failures are not in
	// lost_requests.
	ObserveOnly bool `json:"observe_only" jsonschema:"default=false"`
	// Keep connections. Otherwise each request has a new one, as ab's without -k.
	Reuse bool `json:"reuse" jsonschema:"default=false"`
}

func (s *Bench) preset() {
	s.Path, s.Type, s.Clients, s.Patience = "/", "application/octet-stream", Counts{1}, history.DefaultPatience
}

func (s *Bench) title() string {
	return fmt.Sprintf("bench %s %s%s with %s at once", s.method(), s.Service, s.Path, clients(s.Clients))
}

func clients(c Counts) string {
	if len(c) == 1 {
		return plural(c[0], "client")
	}
	return c.String() + " clients"
}

func (s *Bench) name(clients int) string { return fmt.Sprintf("%s/c%d", s.Request.name(), clients) }

const mostClients = 10000

func (s *Bench) check(p *plan) {
	p.running()
	service := p.service(s.Service, &s.Service)
	s.Request.check(p)
	if s.Background && len(s.Clients) > 1 {
		p.wrong(&s.Clients, "several loads in the background; accepted: one number of clients, or several steps")
	}
	if (s.Requests == 0) == (s.For == 0) && !(s.Background && s.Requests == 0) {
		p.wrong(&s.Requests, "a load ends after a number of requests or a time; accepted: one of requests: 50 and for: 5s")
	}
	if s.Requests > 1e9 {
		p.wrong(&s.Requests, "%d requests; accepted: at most 1000000000", s.Requests)
	}
	p.bounded(&s.For, "for")
	p.positive(&s.Patience, "patience")
	if len(s.Clients) == 0 {
		p.wrong(&s.Clients, "no clients; accepted: clients: [1, 50]")
	}
	replicas := 1
	if service != nil {
		replicas = max(service.Replicas, 1)
	}
	for _, c := range s.Clients {
		if c < 1 || c > mostClients {
			p.wrong(&s.Clients, "%s; accepted: 1 to %d", plural(c, "client"), mostClients)
			continue
		}
		p.load(s.name(c), &s.Clients)
		if s.Background {
			p.beside[s.name(c)] = beside{s.Service, !s.ObserveOnly}
			continue
		}
		// A guess: 0.1 s of work a request, as rng and hasher have, and no more at once than there are replicas.
		p.length += s.For + time.Duration(s.Requests)*100*time.Millisecond/time.Duration(min(c, replicas)) + 200*time.Millisecond
	}
}

func (s *Bench) play(ctx context.Context, st *stage) error {
	url, err := st.url(ctx, s.Service, s.Port, s.Path)
	if err != nil {
		return err
	}
	target := s.target(url, st.scenario.Seed)
	for _, c := range s.Clients {
		st.doing("%s at once", plural(c, "client"))
		w := loadgen.Workload{
			Name: s.name(c), Targets: []loadgen.Target{target}, Clients: c,
			Requests: int64(s.Requests), Duration: s.For, Patience: s.Patience,
			Reuse: loadgen.Reuse{PerRequest: !s.Reuse}, Timeouts: timeouts(), Seed: st.scenario.Seed, ObserveOnly: s.ObserveOnly,
		}
		if s.Background {
			open := s.Requests == 0 && s.For == 0
			if open {
				w.Duration = longest
			}
			st.loadBeside(ctx, s.Service, w, open)
			continue
		}
		if err := st.load(ctx, s.Service, w); err != nil {
			return err
		}
	}
	return nil
}
