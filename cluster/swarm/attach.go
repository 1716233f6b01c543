package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/control"
	"coinbench/cluster/rollout"
	"coinbench/history"
)

// Attach takes over an app that an earlier process brought up to stay (Config.Keep), found by its labels.
func (c *Cluster) Attach(ctx context.Context, app string) error {
	return c.attach(ctx, app, false)
}

// Look is Attach for looking only: it takes up what there is of an app whoever made it, and says whose it is; "": it was brought up to
// stay.
func (c *Cluster) Look(ctx context.Context, app string) (whose string, err error) {
	if err := c.attach(ctx, app, true); err != nil {
		return "", err
	}
	if whose, err = c.whose(ctx, app); err != nil {
		return "", fmt.Errorf("find %s on the Swarm: %w", app, err)
	}
	return whose, nil
}

func (c *Cluster) attach(ctx context.Context, app string, looking bool) error {
	fault := func(err error) error { return fmt.Errorf("find %s on the Swarm: %w", app, err) }
	c.removal.Lock()
	defer c.removal.Unlock()
	if c.deployed() != nil {
		return fault(fmt.Errorf("%s is deployed by this very process", c.app.Name))
	}
	if err := c.Ready(ctx); err != nil {
		return fault(err)
	}
	found, err := c.engine.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("label", appLabel+"="+app,
		partLabel+"=app")})
	if err != nil {
		return fault(err)
	}
	networks, err := c.engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", appLabel+"="+app)})
	if err != nil {
		return fault(err)
	}
	slices.SortFunc(found.Items, func(a, b swarm.Service) int {
		x, _ := strconv.Atoi(a.Spec.Labels[orderLabel])
		y, _ := strconv.Atoi(b.Spec.Labels[orderLabel])
		return cmp.Compare(x, y)
	})
	if looking && len(found.Items) == 0 {
		switch runs, err := c.runsOf(ctx, app); {
		case err != nil:
			return fault(err)
		case len(runs) > 0:
			return nil
		}
	}
	if len(found.Items) == 0 {
		return fault(errors.New("nothing of it was brought up by coinbench; do that first: coinbench up --cluster swarm"))
	}
	var services []*service
	var others map[string]swarm.Service
	found.Items, others = pairs(found.Items)
	for _, x := range found.Items {
		labels := x.Spec.Labels
		if labels[modeLabel] != "up" && !looking {
			return fault(fmt.Errorf("it belongs to a run that is going on (run %s)", labels[runLabel]))
		}
		spec, err := decoded(labels[serviceLabel])
		if err != nil {
			return fault(fmt.Errorf("the label %s of %s: %w", serviceLabel, x.Spec.Name, err))
		}
		s := &service{id: x.ID, spec: spec, mode: EndpointMode(spec.Endpoint), force: x.Spec.TaskTemplate.ForceUpdate,
			mesh: meshPorts(x), colour: labels[colourLabel], beside: others[x.ID].ID}
		if r := x.Spec.Mode.Replicated; r != nil && r.Replicas != nil {
			s.spec.Replicas = int(*r.Replicas) // docker service scale may have changed it
		}
		if prior := labels[priorLabel]; prior != "" {
			previous, err := decoded(prior)
			if err != nil {
				return fault(fmt.Errorf("the label %s of %s: %w", priorLabel, x.Spec.Name, err))
			}
			s.previous = &previous
		}
		c.config.Run = labels[runLabel]
		c.mu.Lock()
		c.vip = c.vip || s.mode == VIP
		c.mu.Unlock()
		services = append(services, s)
	}
	var used []string
	for _, s := range services {
		used = append(used, s.spec.Image)
	}
	if err := c.locate(ctx, used); err != nil {
		return fault(err)
	}
	drift := map[string]string{}
	for i, s := range services {
		if differs := c.adopt(&s.spec, found.Items[i].Spec.TaskTemplate.ContainerSpec); len(differs) > 0 {
			drift[s.spec.Name] = "changed by hand since it was deployed, and kept so: " + strings.Join(differs, ", ")
		}
	}
	c.mu.Lock()
	for _, n := range networks.Items {
		if n.Name == networkName(app) {
			c.network = n.ID
		}
	}
	c.app, c.services = cluster.App{Name: app}, services
	for i, s := range services {
		c.newService(s, rollout.State{Spec: s.spec, Previous: s.previous, Partial: isPart(found.Items[i]) || isPaused(found.Items[i])})
	}
	c.mu.Unlock()
	c.config.Keep = true
	outbox := c.outbox
	c.outbox = control.NewOutbox(nil, c.config.Start) // what is there already is no news
	err = c.observe(ctx)
	c.outbox = outbox
	if err != nil {
		return fault(err)
	}
	c.mu.Lock()
	for i, s := range services {
		if s.note = c.explain(s, found.Items[i], others[found.Items[i].ID]); s.note == "" {
			s.note = drift[s.name]
		}
		if text := drift[s.name]; text != "" && !looking {
			c.emit(history.Warning, "", "", "message", s.name+": "+text)
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

// IsUp says whether the app was brought up to stay.
func (c *Cluster) IsUp(ctx context.Context, app string) (bool, error) {
	runs, err := c.madeOf(ctx, app)
	return slices.ContainsFunc(runs, func(r madeBy) bool { return r.labels[modeLabel] == "up" }), err
}

// Made says whether there is anything of the app that coinbench made, whoever it was.
func (c *Cluster) Made(ctx context.Context, app string) (bool, error) {
	runs, err := c.madeOf(ctx, app)
	return len(runs) > 0, err
}

// madeOf is runsOf of an engine that may not have been asked anything yet.
func (c *Cluster) madeOf(ctx context.Context, app string) ([]madeBy, error) {
	if err := c.speaks(ctx); err != nil {
		return nil, err
	}
	return c.runsOf(ctx, app)
}

// whose says of each run, but one that was brought up to stay, whether it is going on, and what it left if it is not.
func (c *Cluster) whose(ctx context.Context, app string) (string, error) {
	runs, err := c.runsOf(ctx, app)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, r := range runs {
		if r.labels[modeLabel] == "up" {
			continue
		}
		alive, err := c.alive(ctx, r)
		if err != nil {
			return "", err
		}
		made := strings.Join(r.made, ", ")
		if alive {
			texts = append(texts, fmt.Sprintf("run %s is going on, or ended a moment ago: %s. Stop it by Ctrl-C where it was started.", r.name,
				made))
			continue
		}
		texts = append(texts, fmt.Sprintf("run %s was killed and left: %s. Remove it with: coinbench down --cluster swarm", r.name, made))
	}
	return strings.Join(texts, "\n"), nil
}

// Close lets go of an app that shall stay. It removes nothing but the relay.
func (c *Cluster) Close(ctx context.Context) error {
	c.removal.Lock()
	defer c.removal.Unlock()
	c.stopWatching()
	err := c.tunnel.close(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	return err
}

// Down removes everything that coinbench made of an app, whoever brought it up, and finding nothing is no error. What a run
// that is going on made is left alone, which is an error.
func (c *Cluster) Down(ctx context.Context, app string) error {
	fault := func(err error) error { return fmt.Errorf("take %s down: %w", app, err) }
	if err := c.Ready(ctx); err != nil {
		return fault(err)
	}
	runs, err := c.runsOf(ctx, app)
	if err != nil {
		return fault(err)
	}
	for _, r := range runs {
		if r.labels[modeLabel] != "up" {
			alive, err := c.alive(ctx, r)
			if err != nil {
				return fault(err)
			}
			if alive {
				return fault(fmt.Errorf("a run of it is going on, or ended a moment ago (run %s): stop it by Ctrl-C where it was started, or try again",
					r.name))
			}
		}
		if err := Sweep(ctx, c.engine, app, r.name); err != nil {
			return fault(err)
		}
	}
	return nil
}
