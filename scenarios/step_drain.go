package scenarios

import (
	"context"
	"errors"
	"fmt"

	"coinbench/cluster"
)

// Drain moves every task away from a node, or lets the node take tasks again.
type Drain struct {
	// The node.
	Node string `json:"node" jsonschema:"required"`
	// Let it take tasks again instead.
	Activate bool `json:"activate" jsonschema:"default=false"`
	// The service of which the report says what its users felt.
	Service string `json:"service" jsonschema:"required"`
	// Name of the disturbance, which objectives use. Default: the service's name.
	Name string `json:"name"`
}

func (s *Drain) title() string {
	if s.Activate {
		return "activate node " + s.Node
	}
	return "drain node " + s.Node
}

func (s *Drain) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Drain) check(p *plan) {
	p.running()
	if s.Node == "" {
		p.wrong(&s.Node, "no node is named; accepted: node: a node of the cluster")
	}
	p.service(s.Service, &s.Service)
	p.disturbance(&s.Name, s.Service)
}

var errNoDrain = errors.New("this cluster has no nodes to drain; leave the step out, or choose another cluster with --cluster")

func (s *Drain) supported(c cluster.Cluster) error {
	if _, ok := c.(cluster.Drainer); !ok {
		return errNoDrain
	}
	return nil
}

func (s *Drain) play(ctx context.Context, st *stage) error {
	c, ok := st.cluster.(cluster.Drainer)
	if !ok {
		return errNoDrain
	}
	act := c.Drain
	if s.Activate {
		act = c.Activate
	}
	if err := act(ctx, s.Node); err != nil {
		return fmt.Errorf("drain %s: %w", s.Node, err)
	}
	return nil
}
