package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/describe"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/engineerr"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/setup"
	"coinbench/history"
	"coinbench/history/event"
)

// Deploy brings the app up. If it fails, what it made stays until Remove, so that it can be looked at.
func (c *Cluster) Deploy(ctx context.Context, app cluster.App) error {
	fault := func(err error) error { return fmt.Errorf("deploy %s: %w", app.Name, err) }
	if err := c.Check(app); err != nil {
		return fault(err)
	}
	defer c.outbox.Flush()
	app.Services = describe.WithGateways(app.Services, c.engine.Tag)
	if err := c.setUp(ctx, app); err != nil {
		return fault(err)
	}
	defer c.pollFast()()
	for _, level := range cluster.Levels(c.app.Deployed(), (*service).wanted) {
		for _, s := range level {
			if err := c.create(ctx, s); err != nil {
				return fault(fmt.Errorf("service %s: %w", s.name, err))
			}
		}
		for _, s := range level {
			if err := s.Deployed(ctx); err != nil {
				return fmt.Errorf("deploy %s: %w", s.name, err)
			}
		}
	}
	return nil
}

// setUp makes the network, the relay and our own books.
func (c *Cluster) setUp(ctx context.Context, app cluster.App) error {
	c.removal.Lock()
	defer c.removal.Unlock()
	if c.app.Deployed() != nil {
		return fmt.Errorf("%s is deployed already; remove it first", c.app.Name)
	}
	if err := c.engine.Ready(ctx); err != nil {
		return err
	}
	if err := setup.Free(ctx, c.engine, app, c.warn); err != nil {
		return err
	}
	var wanted []string
	for _, s := range app.Services {
		wanted = append(wanted, s.Image)
	}
	if err := c.engine.Locate(ctx, wanted); err != nil {
		return err
	}
	c.mu.Lock()
	c.app.App, c.app.Services = app, []*service{}
	for _, spec := range app.Services {
		s := &service{spec: spec, colour: describe.FirstColour(spec)}
		c.app.Services = append(c.app.Services, c.newService(s, rollout.State{Spec: spec}))
	}
	c.mu.Unlock()
	network, err := c.overlay.Create(ctx, app.Name)
	if err == nil {
		err = c.chooseEndpoint(ctx)
	}
	if err != nil {
		return errors.Join(err, c.takeDown(context.WithoutCancel(ctx)))
	}
	c.mu.Lock()
	c.network = network
	for _, s := range c.app.Services {
		c.settle(s)
	}
	c.mu.Unlock()
	c.startWatching()
	return nil
}

func (c *Cluster) startWatching() {
	life, stop := context.WithCancel(context.Background())
	c.mu.Lock()
	c.stop, c.life = stop, life
	c.mu.Unlock()
	c.watching.Go(func() { c.watch(life) })
}

// stopWatching ends what goes on besides the changes.
func (c *Cluster) stopWatching() {
	if c.stop == nil {
		return
	}
	c.mu.Lock()
	c.life = nil
	c.mu.Unlock()
	c.stop()
	c.watching.Wait()
	c.stop = nil
}

// create makes one service.
func (c *Cluster) create(ctx context.Context, s *service) error {
	c.mu.Lock()
	if s.removed {
		c.mu.Unlock()
		return errRemoved
	}
	spec := c.describe(s, slices.Index(c.app.Services, s))
	c.mu.Unlock()
	id, err := c.createSet(ctx, spec)
	switch {
	case engineerr.Taken.Is(err):
		return fmt.Errorf("%w; somebody else made it meanwhile", err)
	case engineerr.PortTaken.Is(err):
		return fmt.Errorf("%w; choose another port by --publish %s=PORT", err, s.name)
	case err != nil:
		return err
	}
	found, err := c.engine.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
	// The engine settles the published ports a moment later.
	for end := time.Now().Add(engine.AskTimeout); err == nil && len(found.Service.Endpoint.Ports) < len(spec.EndpointSpec.Ports) &&
		time.Now().Before(end); {
		if err = c.Sleep(ctx, engine.QuickPoll); err == nil {
			found, err = c.engine.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
		}
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	settings := s.spec.Update
	s.id, s.told, s.settings = id, c.seen.Looks, &settings
	s.mesh = describe.MeshPorts(found.Service)
	c.pollNow()
	return nil
}

// createSet makes a service of the engine, which is all of one of ours, or a set of its tasks.
func (c *Cluster) createSet(ctx context.Context, spec swarm.ServiceSpec) (id string, err error) {
	err = c.engine.Retried(ctx, func(ctx context.Context) error {
		made, err := c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: spec})
		id = made.ID
		return err
	})
	return id, err
}

// discardSet removes a service of the engine; that it is gone already is no error.
func (c *Cluster) discardSet(ctx context.Context, id string) error {
	err := c.engine.Retried(ctx, func(ctx context.Context) error {
		_, err := c.engine.ServiceRemove(ctx, id, client.ServiceRemoveOptions{})
		return err
	})
	if engineerr.NotFound.Is(err) {
		return nil
	}
	return err
}

// Remove takes down everything that this cluster made, whatever became of ctx: what is left half removed is of no use.
func (c *Cluster) Remove(ctx context.Context) error {
	defer c.outbox.Flush()
	c.removal.Lock()
	defer c.removal.Unlock()
	if c.app.Deployed() == nil {
		return nil
	}
	return c.takeDown(context.WithoutCancel(ctx))
}

// takeDown removes services, network and relay, and waits until the tasks are gone.
func (c *Cluster) takeDown(ctx context.Context) error {
	deadline := max(removeDeadline, c.engine.Deadline)
	if c.Lost() != nil {
		deadline = lostDeadline
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not removed within %s", deadline))
	defer cancel()
	defer c.pollFast()()
	services := c.app.Deployed()
	c.bell.Ring(errRemoved)
	faults := []error{c.engine.Retried(ctx, c.mendNodes)}
	if ctx.Err() != nil {
		_ = c.overlay.Close(ctx)
		c.stopWatching()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget()
		return fmt.Errorf("%w; all that was made is still there: when the engine answers, remove it with: coinbench down --cluster swarm",
			faults[0])
	}
	for _, s := range slices.Backward(services) {
		c.mu.Lock()
		s.removed = true
		sets := []string{s.standby, s.id}
		c.mu.Unlock()
		for _, id := range sets {
			if id == "" {
				continue
			}
			if err := c.discardSet(ctx, id); err != nil {
				faults = append(faults, fmt.Errorf("remove service %s: %w", s.name, err))
			}
		}
	}
	if c.stop != nil {
		faults = append(faults, c.awaitGone(ctx))
	}
	faults = append(faults, c.overlay.Close(ctx), setup.Sweep(ctx, c.engine, c.app.Name, c.engine.Run))
	c.stopWatching()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Backward(services) {
		if s.id != "" {
			c.outbox.Put(history.NewEvent(s.name, "", event.ServiceRemoved{}))
		}
	}
	c.broadcast()
	c.forget()
	return errors.Join(faults...)
}

// awaitGone waits until no task of the app is left.
func (c *Cluster) awaitGone(ctx context.Context) error {
	var left []observe.Task
	since := c.state().Looks
	err := c.until(ctx, func(seen observe.State) bool {
		left = seen.Present(func(observe.Task) bool { return true })
		return c.askedSince(since) == nil && len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("%w: %s: still there", err, observe.Names(left))
	}
	return nil
}
