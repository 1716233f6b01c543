package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coinbench/cluster"
)

// Partition cuts a node off from the others. The run goes on meanwhile.
type Partition struct {
	// The node.
	Node string `json:"node" jsonschema:"required"`
	// How long.
	For time.Duration `json:"for" jsonschema:"required"`
	// The service of which the report says what its users felt.
	Service string `json:"service" jsonschema:"required"`
	// Name of the disturbance, which objectives use. Default: the service's name.
	Name string `json:"name"`
}

func (s *Partition) title() string { return fmt.Sprintf("cut %s off for %s", s.Node, s.For) }

func (s *Partition) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Partition) check(p *plan) {
	p.running()
	if s.Node == "" {
		p.wrong(&s.Node, "no node is named; accepted: node: a node of the cluster")
	}
	p.positive(&s.For, "for")
	p.service(s.Service, &s.Service)
	p.disturbance(&s.Name, s.Service)
}

var errNoPartition = errors.New("this cluster has no nodes to cut off; leave the step out, or choose another cluster with --cluster")

func (s *Partition) supported(c cluster.Cluster) error {
	p, ok := c.(cluster.Partitioner)
	if !ok {
		return errNoPartition
	}
	return p.Partitions()
}

func (s *Partition) play(ctx context.Context, st *stage) error {
	p, ok := st.cluster.(cluster.Partitioner)
	if !ok {
		return errNoPartition
	}
	if err := p.Partition(ctx, s.Node, s.For); err != nil {
		return fmt.Errorf("cut %s off: %w", s.Node, err)
	}
	return nil
}
