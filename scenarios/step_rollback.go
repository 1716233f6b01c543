package scenarios

import (
	"context"
	"errors"

	"coinbench/cluster"
)

// Rollback undoes the last update of a service. A second one undoes the first.
type Rollback struct {
	// The service that is rolled back.
	Service string `json:"service" jsonschema:"required"`
	// Name of the rollout, which objectives use. Default: the service's name.
	Name string `json:"name"`
}

func (s *Rollback) title() string { return "roll " + s.Service + " back" }

func (s *Rollback) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Rollback) check(p *plan) {
	p.running()
	service := p.service(s.Service, &s.Service)
	if service == nil {
		return
	}
	p.disturbance(&s.Name, s.Service)
	previous, ok := p.previous[s.Service]
	if !ok {
		p.wrong(&s.Service, "%s was not updated before; accepted: an update step before this one", s.Service)
		return
	}
	p.length = rolloutLength(*service, service.Rollback)
	p.previous[s.Service] = *service
	replicas := service.Replicas
	*service = previous
	service.Replicas = replicas
}

var errNoRollback = errors.New("this cluster cannot roll back; leave the step out, or choose another cluster with --cluster")

func (s *Rollback) supported(c cluster.Cluster) error {
	if _, ok := c.(cluster.Rollbacker); !ok {
		return errNoRollback
	}
	return nil
}

func (s *Rollback) play(ctx context.Context, st *stage) error {
	c, ok := st.cluster.(cluster.Rollbacker)
	if !ok {
		return errNoRollback
	}
	st.doing("rolling %s back", s.Service)
	err := c.Rollback(ctx, s.Service)
	if service, ok := st.service(s.Service); ok && err == nil {
		now := *service
		service.Update = st.previous[s.Service].Update
		st.previous[s.Service] = now
	}
	return st.rolledOut(err, s.Service)
}
