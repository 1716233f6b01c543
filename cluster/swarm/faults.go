package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/spawn"
)

// Kill ends a replica by SIGKILL: by the engine that we speak to where the replica is on its node, otherwise by a job on the
// replica's node that is given the engine's socket there. Its successor starts after the service's own restart delay; the
// engine knows no other, and keeps no dead replica in rotation.
func (c *Cluster) Kill(ctx context.Context, service string, slot int, fault cluster.Fault) error {
	defer c.outbox.Flush()
	failed := func(err error) error { return fmt.Errorf("kill %s: %w", nth(service, slot), err) }
	if fault.InRotation {
		return failed(fmt.Errorf("a Swarm takes a dead replica out of rotation: %w", errors.ErrUnsupported))
	}
	v, err := c.victim(service, slot)
	if err != nil {
		return failed(err)
	}
	c.mu.Lock()
	c.advance(c.seen.Kill(v.id, v.restart))
	c.mu.Unlock()
	defer c.pollFast()()
	if v.Node == c.engine.Node {
		_, err = c.engine.ContainerKill(ctx, v.ID, client.ContainerKillOptions{Signal: "SIGKILL"})
		if engineerr.NotFound.Is(err) {
			err = errors.New("its container is gone already")
		}
	} else {
		err = spawn.Kill(ctx, c.engine, v.Container)
	}
	if err != nil {
		c.mu.Lock()
		c.seen = c.seen.Spare(v.id)
		c.mu.Unlock()
		return fmt.Errorf("kill %s: %w", v.name, err)
	}
	return nil
}

// spot is where a task's container is.
type spot struct {
	spawn.Container
	id, name string        // of the task
	restart  time.Duration // until its successor starts
}

// victim finds observe.State.Victim.
func (c *Cluster) victim(name string, slot int) (spot, error) {
	s, err := c.app.Lookup(name)
	if err != nil {
		return spot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.seen.Victim(s.observed(), slot)
	if err != nil {
		return spot{}, err
	}
	return spot{spawn.Container{App: c.app.Name, Node: t.Node, ID: t.Container}, t.ID, t.Name, s.spec.Restart.Delay}, nil
}

// Pause freezes a replica for at least a time: a job on its node, which is given the engine's socket there, freezes it and thaws it when
// it is told to stop, whoever tells it, or nobody does. A health check of a frozen replica fails: one that is frozen for longer than
// its checks allow is replaced.
func (c *Cluster) Pause(ctx context.Context, service string, slot int, d time.Duration) error {
	defer c.outbox.Flush()
	failed := func(err error) error { return fmt.Errorf("pause %s: %w", nth(service, slot), err) }
	at, err := c.victim(service, slot)
	if err != nil {
		return failed(err)
	}
	job, err := spawn.Freeze(ctx, c.engine, at.Container, d)
	if err != nil {
		return failed(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.seen.Pause(at.id, d))
	if c.life == nil {
		return failed(errRemoved)
	}
	life := c.life
	c.watching.Go(func() {
		if c.Sleep(life, d) != nil || job.Thaw(life) != nil {
			return // the job goes with the app
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.advance(c.seen.Recover(at.id))
	})
	return nil
}
