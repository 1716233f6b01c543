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
	// The service that loses a replica.
	Service string `json:"service" jsonschema:"required"`
	// Which one, counted from 1.
	Replica int `json:"replica" jsonschema:"default=1,minimum=1"`
	// Time until its successor starts. Default: the service's own restart delay.
	Down time.Duration `json:"down"`
	// Name of the disturbance, which objectives use. Default: the service's name.
	Name string `json:"name"`
	// Connections are still sent to the dead replica, which refuses them.
	InRotation bool `json:"in_rotation" jsonschema:"default=false"`
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
	p.replica(s.Service, &s.Service, s.Replica, &s.Replica)
	p.disturbance(&s.Name, s.Service)
}

func (s *Kill) disturbs() (name, service string) { return s.Name, s.Service }

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
