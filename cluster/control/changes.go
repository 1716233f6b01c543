package control

import (
	"context"
	"fmt"

	"coinbench/cluster"
)

// Changes are what cluster.Cluster, cluster.Rollbacker, cluster.Restarter and cluster.Strategist ask of services under control.
type Changes struct {
	Find func(service string) (*Service, error)
	Done func() // follows each change
}

func (c Changes) do(verb, service string, change func(*Service) error) error {
	defer c.Done()
	s, err := c.Find(service)
	if err == nil {
		err = change(s)
	}
	if _, refused := err.(*cluster.RolloutError); err == nil || refused {
		return err
	}
	return fmt.Errorf("%s %s: %w", verb, service, err)
}

// Scale sets the replicas of a service.
func (c Changes) Scale(ctx context.Context, service string, replicas int) error {
	return c.do("scale", service, func(s *Service) error { return s.Scale(ctx, replicas) })
}

// Update changes a service by a rolling update, or by the change's strategy.
func (c Changes) Update(ctx context.Context, service string, change cluster.Change) error {
	return c.do("update", service, func(s *Service) error { return s.Update(ctx, change) })
}

// Rollback undoes the last update.
func (c Changes) Rollback(ctx context.Context, service string) error {
	return c.do("roll back", service, func(s *Service) error { return s.Rollback(ctx) })
}

// Restart replaces every task by one that is the same.
func (c Changes) Restart(ctx context.Context, service string) error {
	return c.do("restart", service, func(s *Service) error { return s.Restart(ctx) })
}

// Strategies lists all.
func (c Changes) Strategies() []cluster.Strategy { return cluster.Strategies() }
