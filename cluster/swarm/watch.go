package swarm

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/observe"
	"coinbench/history"
)

// watch asks the engine until ctx is done.
func (c *Cluster) watch(ctx context.Context) {
	for {
		c.mu.Lock()
		wait := engine.SlowPoll
		if c.busy > 0 {
			wait = engine.QuickPoll
		}
		c.mu.Unlock()
		begun := time.Now()
		err := c.observe(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.advance(c.seen.Heard(err, time.Now()))
		c.mu.Unlock()
		// Asking must not keep the engine busy: at most a quarter of the time.
		timer := time.NewTimer(max(wait, 3*time.Since(begun)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.poll:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Lost says that the engine has not answered for as long as a change may take; nil: it answers, or is waited for.
func (c *Cluster) Lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent := c.seen.Silent(time.Now())
	if silent < c.engine.Deadline {
		return nil
	}
	return fmt.Errorf("the engine has not answered for %s: start it, then remove what the run left: coinbench down --cluster swarm",
		silent.Round(time.Second))
}

// observe asks once. Services come first: tasks are then at least as new as what is said of an update.
func (c *Cluster) observe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, engine.AskTimeout)
	defer cancel()
	ours := engine.Labelled(engine.RunLabel + "=" + c.engine.Run)
	services, err := c.engine.ServiceList(ctx, client.ServiceListOptions{Filters: ours})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	nodes, err := c.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	tasks, err := c.engine.TaskList(ctx, client.TaskListOptions{Filters: ours})
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	app := observe.App{Network: c.network, Registry: c.engine.Registry}
	for _, s := range c.app.Services {
		app.Services = append(app.Services, s.observed())
	}
	c.advance(c.seen.Look(app, observe.Answer{Services: services.Items, Nodes: nodes.Items, Tasks: tasks.Items}, time.Now()))
	for _, s := range c.app.Services {
		s.published = c.seen.Published(s.observed(), s.mesh, c.engine.Node)
	}
	return nil
}

// advance makes a state the present one, and sends what has happened. The caller holds mu.
func (c *Cluster) advance(next observe.State, events []history.Event) {
	c.seen = next
	for _, e := range events {
		c.outbox.Put(e)
	}
	c.broadcast()
}

// observed is a service in the words of package observe. The caller holds mu.
func (s *service) observed() observe.Service {
	return observe.Service{Spec: s.spec, ID: s.id, Standby: s.standby}
}

// state is what has been seen so far.
func (c *Cluster) state() observe.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// until waits until done says so of what is seen, at each look and act, and returns ctx's cause where that ends first. done is called
// while mu is held.
func (c *Cluster) until(ctx context.Context, done func(observe.State) bool) error {
	for {
		c.mu.Lock()
		ended, changed := done(c.seen), c.changed
		c.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
