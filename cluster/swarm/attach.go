package swarm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/describe"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/setup"
	"coinbench/history"
	"coinbench/history/event"
)

// Attach takes over an app that an earlier process brought up to stay (Config.Keep), found by its labels.
func (c *Cluster) Attach(ctx context.Context, app string) error {
	return c.attach(ctx, app, false)
}

// Look is Attach for looking only: it takes up what there is of an app, by any run, and says whose it is; "": it was brought up to
// stay.
func (c *Cluster) Look(ctx context.Context, app string) (whose string, err error) {
	if err := c.attach(ctx, app, true); err != nil {
		return "", err
	}
	if whose, _, err = setup.Whose(ctx, c.engine, app); err != nil {
		return "", fmt.Errorf("find %s on the Swarm: %w", app, err)
	}
	return whose, nil
}

func (c *Cluster) attach(ctx context.Context, app string, looking bool) error {
	fault := func(err error) error { return fmt.Errorf("find %s on the Swarm: %w", app, err) }
	c.removal.Lock()
	defer c.removal.Unlock()
	if c.app.Deployed() != nil {
		return fault(fmt.Errorf("%s is deployed by this very process", c.app.Name))
	}
	if err := c.engine.Ready(ctx); err != nil {
		return fault(err)
	}
	list, err := c.engine.ServiceList(ctx, client.ServiceListOptions{Filters: engine.Labelled(engine.AppLabel+"="+app,
		engine.PartLabel+"=app")})
	if err != nil {
		return fault(err)
	}
	networks, err := c.engine.NetworkList(ctx, client.NetworkListOptions{Filters: engine.Labelled(engine.AppLabel + "=" + app)})
	if err != nil {
		return fault(err)
	}
	found, err := describe.Services(list.Items)
	if err != nil {
		return fault(err)
	}
	if looking && len(found) == 0 {
		switch _, any, err := setup.Whose(ctx, c.engine, app); {
		case err != nil:
			return fault(err)
		case any:
			return nil
		}
	}
	if len(found) == 0 {
		return fault(errors.New("coinbench did not bring it up; do that first: coinbench up --cluster swarm"))
	}
	var services []*service
	var used []string
	for _, f := range found {
		if f.Label(engine.ModeLabel) != engine.Up && !looking {
			return fault(fmt.Errorf("it belongs to a run that is in progress (run %s)", f.Label(engine.RunLabel)))
		}
		c.engine.Run = f.Label(engine.RunLabel)
		services = append(services, &service{id: f.Engine.ID, spec: f.Spec, previous: f.Previous, mode: EndpointMode(f.Spec.Endpoint),
			force: f.Engine.Spec.TaskTemplate.ForceUpdate, mesh: describe.MeshPorts(f.Engine), colour: f.Label(engine.ColourLabel),
			standby: f.Other.ID})
		used = append(used, f.Spec.Image)
	}
	if err := c.engine.Locate(ctx, used); err != nil {
		return fault(err)
	}
	drift := map[string]string{}
	for i, s := range services {
		if differs := describe.Adopt(c.engine, &s.spec, found[i].Engine.Spec.TaskTemplate.ContainerSpec); len(differs) > 0 {
			drift[s.spec.Name] = "changed by hand since it was deployed, and kept so: " + strings.Join(differs, ", ")
		}
	}
	c.mu.Lock()
	for _, n := range networks.Items {
		if n.Name == engine.NetworkName(app) {
			c.network = n.ID
			c.overlay.Adopt(app, n.ID)
		}
	}
	c.app.App, c.app.Services = cluster.App{Name: app}, services
	for i, s := range services {
		c.vip = c.vip || s.mode == VIP
		c.app.App.Services = append(c.app.App.Services, s.spec)
		c.newService(s, rollout.State{Spec: s.spec, Previous: s.previous, Partial: describe.Unfinished(found[i].Engine)})
		settings := s.spec.Update
		s.settings = &settings
	}
	c.mu.Unlock()
	c.engine.Keep = true
	outbox := c.outbox
	c.outbox = control.NewOutbox(nil, c.config.Start) // what is there already is no news
	err = c.observe(ctx)
	c.outbox = outbox
	if err != nil {
		return fault(err)
	}
	c.mu.Lock()
	for i, s := range services {
		if s.note = describe.Explain(c.engine, s.spec, found[i].Engine, found[i].Other, c.seen.Live(s.name)); s.note == "" {
			s.note = drift[s.name]
		}
		if text := drift[s.name]; text != "" && !looking {
			c.outbox.Put(history.NewEvent("", "", event.Warning{Message: s.name + ": " + text}))
		}
		if s.colour == "" {
			base := c.describe(s, i)
			s.base = &base
		}
	}
	c.mu.Unlock()
	c.startWatching()
	return nil
}

// Close lets go of an app that shall stay. It removes nothing but the relay.
func (c *Cluster) Close(ctx context.Context) error {
	c.removal.Lock()
	defer c.removal.Unlock()
	c.stopWatching()
	err := c.overlay.Close(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	return err
}
