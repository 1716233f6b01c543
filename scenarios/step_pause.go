package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
)

// Pause freezes a replica. The run goes on meanwhile.
type Pause struct {
	// The service of the replica.
	Service string `json:"service" jsonschema:"required"`
	// Which one, counted from 1.
	Replica int `json:"replica" jsonschema:"default=1,minimum=1"`
	// How long.
	For time.Duration `json:"for" jsonschema:"required"`
	// Name of the disturbance, which objectives use. Default: the service's name.
	Name string `json:"name"`
}

func (s *Pause) preset() { s.Replica = 1 }

func (s *Pause) title() string {
	return fmt.Sprintf("pause %s.%d for %s", s.Service, s.Replica, s.For)
}

func (s *Pause) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Pause) check(p *plan) {
	p.running()
	p.positive(&s.For, "for")
	p.replica(s.Service, &s.Service, s.Replica, &s.Replica)
	p.disturbance(&s.Name, s.Service)
}

// replica reports a service without replicas, or a number that none of them has.
func (p *plan) replica(name string, at any, n int, number any) {
	service := p.service(name, at)
	switch {
	case service == nil:
	case service.Replicas == 0:
		p.wrong(at, "%s has no replicas at this point; accepted: a service that runs", name)
	case n < 1 || n > service.Replicas && !service.Global:
		p.wrong(number, "%s has no replica %d at this point; accepted: 1 to %d", name, n, service.Replicas)
	}
}

var errNoPause = errors.New("this cluster cannot pause a replica; leave the step out, or choose another cluster with --cluster")

func (s *Pause) supported(c cluster.Cluster) error {
	if _, ok := c.(cluster.Pauser); !ok {
		return errNoPause
	}
	return nil
}

func (s *Pause) play(ctx context.Context, st *stage) error {
	c, ok := st.cluster.(cluster.Pauser)
	if !ok {
		return errNoPause
	}
	return c.Pause(ctx, s.Service, s.Replica, s.For)
}
