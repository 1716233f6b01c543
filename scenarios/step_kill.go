package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
)

// Kill makes a replica die as by SIGKILL. The run goes on while it is away.
type Kill struct {
	Service    string        `json:"service" jsonschema:"required" jsonschema_description:"The service that loses a replica."`
	Replica    int           `json:"replica" jsonschema:"default=1,minimum=1" jsonschema_description:"Which one, counted from 1."`
	Down       time.Duration `json:"down" jsonschema_description:"Time until its successor starts. Default: the service's own restart delay."`
	InRotation bool          `json:"in_rotation" jsonschema:"default=false" jsonschema_description:"Connections are still sent to the dead replica, which refuses them."`
}

func (s *Kill) preset() { s.Replica = 1 }

func (s *Kill) title() string {
	title := fmt.Sprintf("kill %s.%d", s.Service, s.Replica)
	if s.Down > 0 {
		title += fmt.Sprintf(" for %s", s.Down)
	}
	if s.InRotation {
		title += ", still in rotation"
	}
	return title
}

func (s *Kill) check(p *plan) {
	p.running()
	p.bounded(&s.Down, "down")
	service := p.service(s.Service, &s.Service)
	if service == nil {
		return
	}
	switch {
	case service.Replicas == 0:
		p.wrong(&s.Service, "%s has no replicas at this point; accepted: a service that runs", s.Service)
	case s.Replica < 1 || s.Replica > service.Replicas:
		p.wrong(&s.Replica, "%s has no replica %d at this point; accepted: 1 to %d", s.Service, s.Replica, service.Replicas)
	}
}

// errNoKill is what Check says of a cluster that cannot.
var errNoKill = errors.New("this cluster cannot kill a replica; leave the step out, or choose another cluster with --cluster")

func (s *Kill) supported(c cluster.Cluster) error {
	if _, ok := c.(cluster.Killer); !ok {
		return errNoKill
	}
	return nil
}

func (s *Kill) play(ctx context.Context, st *stage) error {
	killer, ok := st.cluster.(cluster.Killer)
	if !ok {
		return errNoKill
	}
	if err := killer.Kill(ctx, s.Service, s.Replica, cluster.Fault{Down: s.Down, InRotation: s.InRotation}); err != nil {
		return fmt.Errorf("kill %s.%d: %w", s.Service, s.Replica, err)
	}
	return nil
}
