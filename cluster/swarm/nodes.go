package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/observe"
	"coinbench/cluster/swarm/setup"
)

// Lab is a Swarm whose nodes can be cut off from each other; *lab.Lab is one.
type Lab interface {
	// CutOff cuts a node off for a time, after which it is mended whatever becomes of this process.
	CutOff(ctx context.Context, node string, d time.Duration) error
	// Heal mends it before.
	Heal(ctx context.Context, node string) error
}

// nodeNamed finds a node by its name.
func (c *Cluster) nodeNamed(name string) (id string, is observe.Node, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.app.Services == nil {
		return "", is, errors.New("no app is deployed")
	}
	id, err = c.seen.Node(name)
	return id, c.seen.Nodes[id], err
}

// Drain moves every task away from a node, which takes none until Activate or Remove. It returns when all of the app's tasks run
// elsewhere. A node that takes no tasks already is left as it is.
func (c *Cluster) Drain(ctx context.Context, name string) error {
	defer c.outbox.Flush()
	id, is, err := c.nodeNamed(name)
	if err != nil {
		return err
	}
	if is.Drained {
		c.warn("the node %s took no tasks already: draining it changed nothing", name)
		return nil
	}
	c.mu.Lock()
	others := 0
	for i, n := range c.seen.Nodes {
		if i != id && !n.Drained && !n.Down {
			others++
		}
	}
	labels := c.engine.Labels(c.app.Name, "node")
	services := c.app.Services
	c.mu.Unlock()
	if others == 0 {
		return errors.New("no other node takes tasks; activate one, or join one")
	}
	defer c.pollFast()()
	err = c.changeNode(ctx, id, func(spec *swarm.NodeSpec) {
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		labels[engine.AvailabilityLabel] = string(spec.Availability)
		maps.Copy(spec.Labels, labels)
		spec.Availability = swarm.NodeAvailabilityDrain
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.advance(c.seen.Drain(name))
	c.mu.Unlock()
	if err := c.vacated(ctx, id, services); err != nil {
		return err
	}
	for _, s := range services {
		s.tell()
		if err := s.Converge(ctx); err != nil {
			return fmt.Errorf("drain %s: %w", s.name, err)
		}
	}
	return nil
}

// vacated waits until a node has no task of the app any more.
func (c *Cluster) vacated(ctx context.Context, id string, services []*service) error {
	var allowance time.Duration
	for _, s := range services {
		allowance = max(allowance, s.Limit())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, allowance, fmt.Errorf("its tasks did not end within %s", allowance))
	defer cancel()
	var left []observe.Task
	err := c.until(ctx, func(seen observe.State) bool {
		left = seen.Present(func(t observe.Task) bool { return t.Node == id })
		return len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, observe.Names(left))
	}
	return nil
}

// Activate lets a node that Drain had emptied take tasks again; those that run elsewhere stay there.
func (c *Cluster) Activate(ctx context.Context, name string) error {
	defer c.outbox.Flush()
	id, is, err := c.nodeNamed(name)
	if err != nil {
		return err
	}
	if !is.Drained {
		return nil
	}
	return c.activate(ctx, id, name)
}

func (c *Cluster) activate(ctx context.Context, id, name string) error {
	ours := false
	err := c.changeNode(ctx, id, func(spec *swarm.NodeSpec) { ours = setup.Restore(spec, c.app.Name, c.engine.Run) })
	switch {
	case err != nil:
		return fmt.Errorf("activate %s: %w", name, err)
	case !ours:
		return fmt.Errorf("activate %s: this run did not drain it; docker node update --availability active %s", name, name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.seen.Activate(name))
	return nil
}

// changeNode changes what a node shall be: edit is given its spec as it is now.
func (c *Cluster) changeNode(ctx context.Context, id string, edit func(*swarm.NodeSpec)) error {
	return c.engine.Retried(ctx, func(ctx context.Context) error {
		found, err := c.engine.NodeInspect(ctx, id, client.NodeInspectOptions{})
		if err != nil {
			return err
		}
		spec := found.Node.Spec
		edit(&spec)
		_, err = c.engine.NodeUpdate(ctx, id, client.NodeUpdateOptions{Version: found.Node.Version, Spec: spec})
		return err
	})
}

// Partitions says whether nodes can be cut off: the engine's API cannot, so only in a lab.
func (c *Cluster) Partitions() error {
	if c.config.Lab == nil {
		return errors.New("a node can be cut off in a lab only, and DOCKER_HOST names none; make one with: coinbench swarm lab up")
	}
	return nil
}

// Partition pulls a node's network cable for a time.
func (c *Cluster) Partition(ctx context.Context, name string, d time.Duration) error {
	defer c.outbox.Flush()
	if err := c.Partitions(); err != nil {
		return err
	}
	id, _, err := c.nodeNamed(name)
	if err != nil {
		return err
	}
	c.cutting.Lock()
	defer c.cutting.Unlock()
	if slices.Contains(c.state().IsCut(), name) {
		return errors.New("it is cut off already")
	}
	if err := c.config.Lab.CutOff(ctx, name, d); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.seen.Cut(id, d))
	if life := c.life; life != nil {
		c.watching.Go(func() {
			if c.Sleep(life, d) == nil {
				c.mended(name)
			}
		})
	}
	return nil
}

// mended tells that a node is no longer cut off.
func (c *Cluster) mended(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.seen.Mend(name))
}

// mendNodes undoes what was done to nodes, before the app is taken down: one that is cut off could not be cleaned.
func (c *Cluster) mendNodes(ctx context.Context) error {
	var faults []error
	for _, name := range c.state().IsCut() {
		c.cutting.Lock()
		err := c.config.Lab.Heal(ctx, name)
		c.cutting.Unlock()
		if err != nil {
			faults = append(faults, fmt.Errorf("mend the node %s: %w", name, err))
			continue
		}
		c.mended(name)
	}
	nodes, err := c.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return errors.Join(errors.Join(faults...), fmt.Errorf("list nodes: %w", err))
	}
	for _, n := range nodes.Items {
		if spec := n.Spec; spec.Labels[engine.AppLabel] == c.app.Name && spec.Labels[engine.RunLabel] == c.engine.Run {
			faults = append(faults, c.activate(ctx, n.ID, n.Description.Hostname))
		}
	}
	return errors.Join(faults...)
}
