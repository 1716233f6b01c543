package scenarios

import (
	"context"
	"errors"

	"coinbench/cluster"
)

// Restart replaces every replica of a service by one that is the same, as docker service update --force does.
type Restart struct {
	// The service whose replicas are replaced.
	Service string `json:"service" jsonschema:"required"`
	// Name of the rollout, which objectives use. Default: the service's name.
	Name string `json:"name"`
}

func (s *Restart) title() string { return "restart " + s.Service }

func (s *Restart) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Restart) check(p *plan) {
	p.running()
	service := p.service(s.Service, &s.Service)
	if service == nil {
		return
	}
	p.disturbance(&s.Name, s.Service)
	p.previous[s.Service] = *service
	p.length = rolloutLength(*service, service.Update)
}

var errNoRestart = errors.New("this cluster cannot restart a service; leave the step out, or choose another cluster with --cluster")

func (s *Restart) supported(c cluster.Cluster) error {
	if _, ok := c.(cluster.Restarter); !ok {
		return errNoRestart
	}
	return nil
}

func (s *Restart) play(ctx context.Context, st *stage) error {
	c, ok := st.cluster.(cluster.Restarter)
	if !ok {
		return errNoRestart
	}
	st.doing("restarting %s", s.Service)
	return st.rolledOut(c.Restart(ctx, s.Service), s.Service)
}
