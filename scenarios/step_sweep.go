package scenarios

import (
	"context"
	"fmt"
	"time"
)

// Sweep scales a service to one number of replicas after the other and measures at each: a window NAME/REPLICAS a point.
type Sweep struct {
	// The service whose replicas are varied.
	Service string `json:"service" jsonschema:"required"`
	// The numbers of replicas, in the order in which they are tried.
	Replicas Counts `json:"replicas" jsonschema:"required"`
	// Time after each scaling, before it counts.
	Settle time.Duration `json:"settle" jsonschema:"default=1s"`
	// Length of each window.
	Measure time.Duration `json:"measure" jsonschema:"default=4s"`
	// The windows are called NAME/REPLICAS.
	Name string `json:"name" jsonschema:"default=sweep"`
}

func (s *Sweep) preset() { s.Settle, s.Measure, s.Name = time.Second, 4*time.Second, "sweep" }

func (s *Sweep) title() string { return fmt.Sprintf("sweep %s over %s", s.Service, s.Replicas) }

func (s *Sweep) window(n int) string { return fmt.Sprintf("%s/%d", s.Name, n) }

func (s *Sweep) check(p *plan) {
	p.running()
	p.bounded(&s.Settle, "settle")
	p.positive(&s.Measure, "measure")
	service := p.service(s.Service, &s.Service)
	if len(s.Replicas) == 0 {
		p.wrong(&s.Replicas, "no replicas to try; accepted: replicas: 1..10")
	}
	for _, n := range s.Replicas {
		p.replicas(service, n, &s.Replicas)
		p.window(s.window(n), &s.Replicas)
		if service != nil {
			service.Replicas = n
		}
		p.length += time.Second + s.Settle + s.Measure
	}
}

func (s *Sweep) play(ctx context.Context, st *stage) error {
	for i, n := range s.Replicas {
		if err := st.scale(ctx, s.Service, n); err != nil {
			return err
		}
		st.doing("point %d of %d: %s", i+1, len(s.Replicas), plural(n, s.Service))
		if err := st.cluster.Sleep(ctx, s.Settle); err != nil {
			return err
		}
		if err := st.window(ctx, s.window(n), s.Measure, func() {}); err != nil {
			return err
		}
	}
	return nil
}
