package swarm

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"coinbench/cluster/swarm/engine"
)

// Spare keeps load generators off nodes that something will be done to: what it does to the app is to be measured, and not what it does
// to them.
func (c *Cluster) Spare(nodes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spared = slices.Clone(nodes)
}

// jobConstraints keep jobs off the nodes that are spared.
func (c *Cluster) jobConstraints() (constraints []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := 0
	for _, n := range c.seen.Nodes {
		if !n.Down && !n.Drained && !slices.Contains(c.spared, n.Name) {
			left++
		}
	}
	if len(c.spared) > 0 && left == 0 {
		return nil, fmt.Errorf("no node is left for load generators: the scenario drains or cuts off %s, and no other takes tasks; join one",
			strings.Join(c.spared, ", "))
	}
	for _, name := range c.spared {
		constraints = append(constraints, "node.hostname!="+name)
	}
	return constraints, nil
}

// Dial connects to an address inside the overlay, such as one that Address returned. It is for looking at the app, not for
// measuring it.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.overlay.Dial(ctx, network, address)
}

// Resolve looks a name up inside the overlay, as the app's own services do.
func (c *Cluster) Resolve(ctx context.Context, name string) ([]string, error) {
	return c.overlay.Resolve(ctx, name)
}

// chooseEndpoint decides whether virtual addresses are used, in auto mode by trying one.
func (c *Cluster) chooseEndpoint(ctx context.Context) error {
	works := c.config.Endpoint == VIP
	if c.config.Endpoint == Auto {
		why, err := c.overlay.TryVIP(ctx)
		if err != nil {
			return err
		}
		if works = why == nil; !works {
			c.warn("virtual addresses do not work on this Swarm (%v): DNS round robin is used instead, where a client picks a replica at random; "+
				"the node's kernel may lack IPVS (modprobe ip_vs)", why)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vip = works
	return nil
}

// names are the answers of the overlay's DNS for a service and for its tasks, by name. Nodes tell each other of
// tasks by gossip, so the last one may be known a moment after it runs: for that moment it waits.
func (c *Cluster) names(ctx context.Context, s *service) map[string]string {
	if c.engine.Keep {
		return nil
	}
	c.mu.Lock()
	want := s.spec.Replicas
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	all := map[string]string{}
	for _, name := range []string{s.name, "tasks." + s.name} {
		addresses, err := c.Resolve(ctx, name)
		for err == nil && name != s.name && len(addresses) != want && c.Sleep(ctx, engine.QuickPoll) == nil {
			if more, err := c.Resolve(ctx, name); err == nil {
				addresses = more
			}
		}
		if err == nil {
			slices.Sort(addresses)
			all[name] = strings.Join(addresses, " ")
		}
	}
	return all
}
