package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/observe"
	"coinbench/history"
)

// Deploy brings the app up. If it fails, what it made stays until Remove, so that it can be looked at.
func (c *Cluster) Deploy(ctx context.Context, app cluster.App) error {
	fault := func(err error) error { return fmt.Errorf("deploy %s: %w", app.Name, err) }
	if err := c.Check(app); err != nil {
		return fault(err)
	}
	defer c.outbox.Flush()
	app.Services = withGateways(app.Services, c.config.Tag)
	if err := c.setUp(ctx, app); err != nil {
		return fault(err)
	}
	defer c.pollFast()()
	for _, level := range cluster.Levels(c.deployed(), (*service).wanted) {
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
	if c.deployed() != nil {
		return fmt.Errorf("%s is deployed already; remove it first", c.app.Name)
	}
	if err := c.Ready(ctx); err != nil {
		return err
	}
	if err := c.free(ctx, app); err != nil {
		return err
	}
	var wanted []string
	for _, s := range app.Services {
		wanted = append(wanted, s.Image)
	}
	if err := c.locate(ctx, wanted); err != nil {
		return err
	}
	made, err := c.engine.NetworkCreate(ctx, networkName(app.Name), client.NetworkCreateOptions{
		Driver: "overlay", Scope: "swarm", Attachable: true, Labels: c.labels(app.Name, "app"),
	})
	if err != nil {
		return fmt.Errorf("make the network %s: %w", networkName(app.Name), err)
	}
	c.mu.Lock()
	c.app = cluster.App{Name: app.Name, File: app.File}
	c.network = made.ID
	c.services = []*service{}
	for _, spec := range app.Services {
		c.services = append(c.services, c.newService(&service{spec: spec, colour: firstColour(spec)}, rollout.State{Spec: spec}))
	}
	c.mu.Unlock()
	if err := c.tunnel.open(ctx); err != nil {
		return errors.Join(err, c.takeDown(context.WithoutCancel(ctx)))
	}
	if err := c.chooseEndpoint(ctx); err != nil {
		return errors.Join(err, c.takeDown(context.WithoutCancel(ctx)))
	}
	c.mu.Lock()
	for _, s := range c.services {
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

// stopWatching ends what goes on beside the changes.
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

// Ready says whether the engine is a manager of a Swarm, and notes which node it is.
func (c *Cluster) Ready(ctx context.Context) error {
	if err := c.speaks(ctx); err != nil {
		return err
	}
	info, err := c.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("the engine does not answer: %w; start it, or name another by DOCKER_HOST", err)
	}
	switch {
	case info.Info.Swarm.LocalNodeState != swarm.LocalNodeStateActive:
		return fmt.Errorf("the engine %s is in no Swarm; make one with: docker swarm init", info.Info.Name)
	case !info.Info.Swarm.ControlAvailable:
		return fmt.Errorf("the engine %s is a worker of its Swarm; name a manager by DOCKER_HOST", info.Info.Name)
	}
	c.tunnel.node = info.Info.Swarm.NodeID
	return nil
}

// madeBy is a run, as the labels of what it made say.
type madeBy struct {
	name     string
	labels   map[string]string
	youngest time.Time // when the latest of it was made
	made     []string  // in words
}

// runsOf lists the runs that made something of an app, by name.
func (c *Cluster) runsOf(ctx context.Context, app string) ([]madeBy, error) {
	label := make(client.Filters).Add("label", appLabel+"="+app)
	services, err := c.engine.ServiceList(ctx, client.ServiceListOptions{Filters: label})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	networks, err := c.engine.NetworkList(ctx, client.NetworkListOptions{Filters: label})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	nodes, err := c.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	runs := map[string]madeBy{}
	note := func(labels map[string]string, created time.Time, made string) {
		r := runs[labels[runLabel]]
		r.made = append(r.made, made)
		r.name, r.labels = labels[runLabel], labels
		if created.After(r.youngest) {
			r.youngest = created
		}
		runs[r.name] = r
	}
	for _, s := range services.Items {
		note(s.Spec.Labels, s.CreatedAt, "the service "+s.Spec.Name)
	}
	for _, n := range networks.Items {
		note(n.Labels, n.Created, "the network "+n.Name)
	}
	for _, n := range nodes.Items {
		if n.Spec.Labels[appLabel] == app { // drained, and not activated again
			note(n.Spec.Labels, time.Time{}, "the node "+n.Description.Hostname+" drained")
		}
	}
	var list []madeBy
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		list = append(list, runs[name])
	}
	return list, nil
}

// free says whether the names of the app are free. What a dead run left is removed first.
func (c *Cluster) free(ctx context.Context, app cluster.App) error {
	services, err := c.engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	networks, err := c.engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("name", networkName(app.Name))})
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	var faults []error
	for _, s := range services.Items {
		own := slices.ContainsFunc(app.Services, func(a cluster.Service) bool { return engineName(app.Name, a.Name) == s.Spec.Name })
		if own && s.Spec.Labels[appLabel] != app.Name {
			faults = append(faults, fmt.Errorf("there is a service %s that coinbench did not make; give the app another name (name: in %s), or "+
				"remove it: docker service rm %s", s.Spec.Name, app.File, s.Spec.Name))
		}
	}
	for _, n := range networks.Items {
		if n.Name == networkName(app.Name) && n.Labels[appLabel] != app.Name { // the filter takes parts of names
			faults = append(faults, fmt.Errorf("there is a network %s that coinbench did not make; give the app another name (name: in %s), or "+
				"remove it: docker network rm %s", n.Name, app.File, n.Name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	runs, err := c.runsOf(ctx, app.Name)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.labels[modeLabel] == "up" {
			return errors.New("it is on this Swarm already, brought up by `coinbench up`; take it down first: coinbench down")
		}
		alive, err := c.alive(ctx, r)
		if err != nil {
			return err
		}
		if alive {
			return stillThere(r, app)
		}
		c.warn("what a run that was killed left on the Swarm (run %s) is removed first", r.name)
		sweeping, cancel := context.WithTimeoutCause(ctx, removeDeadline, fmt.Errorf("not removed within %s", removeDeadline))
		err = Sweep(sweeping, c.engine, app.Name, r.name)
		cancel()
		if err != nil {
			return fmt.Errorf("remove what a run that was killed left (run %s): %w", r.name, err)
		}
	}
	return nil
}

// stillThere says that a run goes on, and how long one that was killed holds the app's name: its relay sweeps from 3 s after its end.
func stillThere(r madeBy, app cluster.App) error {
	return fmt.Errorf("it is on this Swarm already: another coinbench runs it now, or ended a moment ago (run %s); if that was killed, its "+
		"name is free in about %s; otherwise wait for its end, or give this app another name (name: in %s)",
		r.name, justMade, app.File)
}

// justMade is how long after it made something a run may be without its relay.
const justMade = 10 * time.Second

// alive says whether a run is going on: its relay, on the node where it was started, lives exactly as long. Where that is another
// node, and in the Swarm, it cannot be seen from here.
func (c *Cluster) alive(ctx context.Context, r madeBy) (bool, error) {
	if time.Since(r.youngest) < justMade {
		return true, nil
	}
	if home := r.labels[nodeLabel]; home != c.tunnel.node {
		found, err := c.engine.NodeInspect(ctx, home, client.NodeInspectOptions{})
		if cerrdefs.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("find the node that the run %s was started on: %w", r.name, err)
		}
		return found.Node.Status.State != swarm.NodeStateDown, nil
	}
	found, err := c.engine.ContainerList(ctx, client.ContainerListOptions{Filters: make(client.Filters).Add("label", runLabel+"="+r.name,
		partLabel+"=relay")})
	if err != nil {
		return false, fmt.Errorf("list containers: %w", err)
	}
	return len(found.Items) > 0, nil
}

// create makes one service.
func (c *Cluster) create(ctx context.Context, s *service) error {
	c.mu.Lock()
	if s.removed {
		c.mu.Unlock()
		return errRemoved
	}
	spec := c.describe(s, slices.Index(c.services, s))
	c.mu.Unlock()
	id, err := c.createSet(ctx, spec)
	switch {
	case cerrdefs.IsAlreadyExists(err) || cerrdefs.IsConflict(err):
		return fmt.Errorf("%w; somebody else made it meanwhile", err)
	case err != nil && strings.Contains(err.Error(), "port") && strings.Contains(err.Error(), "already in use"):
		return fmt.Errorf("%w; choose another port by --publish %s=PORT", err, s.name)
	case err != nil:
		return err
	}
	found, err := c.engine.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
	// The engine settles the published ports a moment later.
	for end := time.Now().Add(askTimeout); err == nil && len(found.Service.Endpoint.Ports) < len(spec.EndpointSpec.Ports) &&
		time.Now().Before(end); {
		if err = c.Sleep(ctx, quickPoll); err == nil {
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
	s.mesh = meshPorts(found.Service)
	c.pollNow()
	return nil
}

// createSet makes a service of the engine, which is all of one of ours, or a set of its tasks.
func (c *Cluster) createSet(ctx context.Context, spec swarm.ServiceSpec) (id string, err error) {
	err = c.retried(ctx, func(ctx context.Context) error {
		made, err := c.engine.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: spec})
		id = made.ID
		return err
	})
	return id, err
}

// discardSet removes a service of the engine; that it is gone already is no error.
func (c *Cluster) discardSet(ctx context.Context, id string) error {
	err := c.retried(ctx, func(ctx context.Context) error {
		_, err := c.engine.ServiceRemove(ctx, id, client.ServiceRemoveOptions{})
		return err
	})
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// meshPorts are the ports at which the routing mesh publishes a service.
func meshPorts(s swarm.Service) (ports []int) {
	for _, p := range s.Endpoint.Ports {
		if p.PublishMode != swarm.PortConfigPublishModeHost {
			ports = append(ports, int(p.PublishedPort))
		}
	}
	return ports
}

// Remove takes down everything that this cluster made, whatever became of ctx: what is left half removed helps nobody.
func (c *Cluster) Remove(ctx context.Context) error {
	defer c.outbox.Flush()
	c.removal.Lock()
	defer c.removal.Unlock()
	if c.deployed() == nil {
		return nil
	}
	return c.takeDown(context.WithoutCancel(ctx))
}

// takeDown removes services, network and relay, and waits until the tasks are gone.
func (c *Cluster) takeDown(ctx context.Context) error {
	deadline := max(removeDeadline, c.config.Deadline)
	if c.Lost() != nil {
		deadline = lostDeadline
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not removed within %s", deadline))
	defer cancel()
	defer c.pollFast()()
	services := c.deployed()
	c.bell.Ring(errRemoved)
	faults := []error{c.retried(ctx, c.mendNodes)}
	if ctx.Err() != nil {
		_ = c.tunnel.close(ctx)
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
		sets := []string{s.beside, s.id}
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
	faults = append(faults, c.tunnel.close(ctx), sweep(ctx, c.engine, c.app.Name, c.config.Run, c.retried))
	c.stopWatching()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Backward(services) {
		if s.id != "" {
			c.emit(history.ServiceRemoved, s.name, "")
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

// Sweep removes everything that a run made of an app, found by its labels ("": every run of that app). It touches nothing
// else, and finding nothing is no error.
func Sweep(ctx context.Context, engine *client.Client, app, run string) error {
	once := func(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
	return errors.Join(restoreNodes(ctx, engine, app, run), sweep(ctx, engine, app, run, once))
}

func sweep(ctx context.Context, engine *client.Client, app, run string, retried func(context.Context,
	func(context.Context) error) error) error {
	label := appLabel + "=" + app
	ours := func(labels map[string]string) bool {
		return labels[appLabel] == app && (run == "" || labels[runLabel] == run)
	}
	var faults []error
	var found client.ServiceListResult
	err := retried(ctx, func(ctx context.Context) (err error) {
		found, err = engine.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("label", label)})
		return err
	})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	for _, s := range found.Items {
		if !ours(s.Spec.Labels) {
			continue
		}
		if _, err := engine.ServiceRemove(ctx, s.ID, client.ServiceRemoveOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
			faults = append(faults, fmt.Errorf("remove service %s: %w", s.Spec.Name, err))
		}
	}
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", label,
		partLabel+"=relay")})
	if err != nil {
		faults = append(faults, fmt.Errorf("list containers: %w", err))
	}
	// The relay goes last: it may be the relay itself that sweeps, after its harness was killed. So it leaves the network first.
	relays := slices.DeleteFunc(containers.Items, func(x container.Summary) bool { return !ours(x.Labels) || x.Labels[partLabel] != "relay" })
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		faults = append(faults, fmt.Errorf("list networks: %w", err))
	}
	for _, n := range networks.Items {
		if ours(n.Labels) {
			for _, x := range relays {
				_, _ = engine.NetworkDisconnect(ctx, n.ID, client.NetworkDisconnectOptions{Container: x.ID, Force: true})
			}
			if err := removeNetwork(ctx, engine, n.ID); err != nil {
				faults = append(faults, fmt.Errorf("remove network %s: %w", n.Name, err))
			}
		}
	}
	for _, x := range relays {
		_, err := engine.ContainerRemove(ctx, x.ID, client.ContainerRemoveOptions{Force: true})
		if err != nil && !cerrdefs.IsNotFound(err) && !strings.Contains(err.Error(), "already in progress") {
			faults = append(faults, fmt.Errorf("remove container %s: %w", x.ID[:12], err))
		}
	}
	return errors.Join(faults...)
}

// removeNetwork waits until nothing uses the network any more, and until the engine itself has let go of it: for a moment it
// still lists a network that the Swarm has forgotten.
func removeNetwork(ctx context.Context, engine *client.Client, id string) error {
	for {
		_, err := engine.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		if err == nil || cerrdefs.IsNotFound(err) || strings.Contains(err.Error(), "not found") {
			if _, err = engine.NetworkInspect(ctx, id, client.NetworkInspectOptions{}); cerrdefs.IsNotFound(err) {
				return nil
			}
			if err == nil {
				err = errors.New("it is still there")
			}
		} else if !strings.Contains(err.Error(), "in use") && !strings.Contains(err.Error(), "active endpoints") && !passing(err) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
