package swarm

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/services/settings"
)

const knownTimeout = 10 * time.Second // for the overlay's DNS to know all tasks of a service, and more where more is allowed for a change

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

// names are the answers of the overlay's DNS for a service and for its tasks, by name. Nodes tell each other of tasks by gossip, so that
// one that runs may be known, and get requests, only a while later: it waits until all are known, or says that they are not.
func (c *Cluster) names(ctx context.Context, s *service) map[string]string {
	if c.engine.Keep {
		return nil
	}
	allowed := max(knownTimeout, c.engine.Deadline/5)
	within, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	answers := map[string]string{}
	for {
		runs, indirect := s.running()
		known, answered := 0, true
		for _, name := range []string{s.name, "tasks." + s.name} {
			addresses, err := c.Resolve(within, name)
			switch {
			case err == nil:
				slices.Sort(addresses)
				answers[name] = strings.Join(addresses, " ")
				known = len(addresses)
			case runs == 0: // there is no such name
				delete(answers, name)
			default:
				answered = false
			}
		}
		switch {
		case indirect || answered && (runs == 0 || known == runs):
			return answers
		case c.Sleep(within, engine.QuickPoll) != nil:
			if ctx.Err() == nil {
				c.warn("%s: the overlay's DNS knows %d of its %d tasks after %s, so load may not reach all of them yet",
					s.name, len(strings.Fields(answers["tasks."+s.name])), runs, allowed)
			}
			return answers
		}
	}
}

// running is how many of its tasks run, and whether a gateway is or has another name than the service's, so that nothing can be said of how
// many addresses that has.
func (s *service) running() (n int, indirect bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	tasks, _ := s.c.seen.Tasks(s.observed())
	return running(tasks), s.colour != "" || cluster.ParseImage(s.spec.Image).Kind == settings.Gateway
}
