package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
)

// Slow delays every connection to a replica. The run goes on meanwhile.
type Slow struct {
	// The service of the replica.
	Service string `json:"service" jsonschema:"required"`
	// Which one, counted from 1.
	Replica int `json:"replica" jsonschema:"default=1,minimum=1"`
	// Added to every connection.
	Delay time.Duration `json:"delay" jsonschema:"required"`
	// How long.
	For time.Duration `json:"for" jsonschema:"required"`
	// Name of the disturbance, which objectives use. Default: the service's name.
	Name string `json:"name"`
}

func (s *Slow) preset() { s.Replica = 1 }

func (s *Slow) title() string {
	return fmt.Sprintf("slow %s.%d by %s for %s", s.Service, s.Replica, s.Delay, s.For)
}

func (s *Slow) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Slow) check(p *plan) {
	p.running()
	p.positive(&s.For, "for")
	p.positive(&s.Delay, "delay")
	p.port(s.Service, &s.Service)
	p.replica(s.Service, &s.Service, s.Replica, &s.Replica)
	p.disturbance(&s.Name, s.Service)
}

var errNoSlow = errors.New("this cluster cannot slow a replica; leave the step out, or choose another cluster with --cluster")

func (s *Slow) supported(c cluster.Cluster) error {
	if _, ok := c.(cluster.LatencyInjector); !ok {
		return errNoSlow
	}
	return nil
}

func (s *Slow) play(ctx context.Context, st *stage) error {
	c, ok := st.cluster.(cluster.LatencyInjector)
	if !ok {
		return errNoSlow
	}
	return c.Slow(ctx, s.Service, s.Replica, s.Delay, s.For)
}
