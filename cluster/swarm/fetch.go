package swarm

import (
	"context"
	"errors"
	"fmt"

	"coinbench/cluster"
)

// fetch pulls the image on every node at the same time, before any task is replaced.
func (c *Cluster) fetch(ctx context.Context, s *service, after cluster.Service) error {
	list, err := c.pullEverywhere(ctx, c.app.Name, c.reference(after.Image))
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range list {
		if p.fault != "" {
			faults = append(faults, fmt.Errorf("pull %s on %s: %s", after.Image, p.node, advised(p.fault)))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !after.Global {
		c.advance(c.seen.Fetch(s.name, after.Replicas))
	}
	return nil
}
