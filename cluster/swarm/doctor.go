package swarm

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"coinbench/cluster"
)

// doctorApp is the name of what Doctor makes and removes.
const doctorApp = "coinbench-doctor"

// Limits past which Doctor says something.
const (
	mostSkew = 500 * time.Millisecond
	leastGiB = 2
)

// oldestEngine is the first engine that speaks oldestAPI.
const oldestEngine = "20.10"

// Finding is one line of Doctor.
type Finding struct {
	What string
	OK   bool
	Text string // what was found and, unless OK, what to do
}

// Doctor examines the Swarm, telling each finding as it comes. It makes a network, a relay, an image and two services that run on
// every node, and removes them, except what the registry and the nodes keep of the image: some kilobytes.
func (c *Cluster) Doctor(ctx context.Context, tell func(Finding)) error {
	version, err := c.engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		tell(Finding{"engine", false, fmt.Sprintf("%v; start it, or name another by DOCKER_HOST", err)})
		return nil
	}
	engine := fmt.Sprintf("version %s, API %s (in use: %s)", version.Version, version.APIVersion, c.engine.ClientVersion())
	if err := c.speaks(ctx); err != nil {
		tell(Finding{"engine", false, engine + ": " + err.Error()})
		return nil
	}
	tell(Finding{"engine", true, engine})
	if err := c.Ready(ctx); err != nil {
		tell(Finding{"swarm", false, err.Error()})
		return nil
	}
	tell(Finding{"swarm", true, "the engine is a manager of it"})
	ready, err := c.doctorMembers(ctx, tell)
	if err != nil {
		return err
	}
	endpoint := c.config.Endpoint
	c.config.Endpoint = DNSRR // what works is asked below
	err = c.setUp(ctx, cluster.App{Name: doctorApp})
	c.config.Endpoint = endpoint
	if err != nil {
		tell(Finding{"image", false, err.Error()})
		return nil
	}
	defer func() {
		if err := c.Remove(context.WithoutCancel(ctx)); err != nil {
			tell(Finding{"cleaning up", false, fmt.Sprintf("%v; finish it with: coinbench down --app %s", err, doctorApp)})
		}
	}()
	tell(Finding{"image", true, c.helper() + " runs on the manager"})
	switch why, err := c.TryVIP(ctx); {
	case err != nil:
		tell(Finding{"virtual addresses", false, err.Error()})
	case why != nil:
		tell(Finding{"virtual addresses", false, fmt.Sprintf("%v; load IPVS on every node (modprobe ip_vs), or use --endpoint-mode dnsrr", why)})
	default:
		tell(Finding{"virtual addresses", true, "work"})
	}
	if err := c.doctorRegistry(ctx, tell); err != nil {
		return err
	}
	return c.doctorNodes(ctx, ready, tell)
}

// doctorMembers tells of every node whether it takes tasks, and returns those that do, names by ID.
func (c *Cluster) doctorMembers(ctx context.Context, tell func(Finding)) (map[string]string, error) {
	list, err := c.engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	ready := map[string]string{}
	for _, n := range list.Items {
		name, engine := n.Description.Hostname, n.Description.Engine.EngineVersion
		switch {
		case n.Status.State != swarm.NodeStateReady:
			tell(Finding{"node " + name, false, fmt.Sprintf("is %s; start its engine, or remove it: docker node rm %s", n.Status.State, name)})
		case n.Spec.Availability != swarm.NodeAvailabilityActive:
			tell(Finding{"node " + name, false, fmt.Sprintf("takes no tasks (%s); docker node update --availability active %s", n.Spec.Availability,
				name)})
		case versions.LessThan(engine, oldestEngine):
			tell(Finding{"node " + name, false, fmt.Sprintf("has engine %s; upgrade it to %s or newer", engine, oldestEngine)})
		default:
			ready[n.ID] = name
			tell(Finding{"node " + name, true, fmt.Sprintf("%s, engine %s", n.Spec.Role, engine)})
		}
	}
	return ready, nil
}

// doctorRegistry has the engine push an image that no node has, and every node pull it.
func (c *Cluster) doctorRegistry(ctx context.Context, tell func(Finding)) error {
	at := c.config.Registry
	if at == "" {
		tell(Finding{"registry", true, "none is named (--registry HOST:PORT) and none was made (coinbench swarm bootstrap): every node must " +
			"get " + c.helper() + " by itself"})
		return nil
	}
	c.tunnel.mu.Lock()
	id := c.tunnel.id
	c.tunnel.mu.Unlock()
	image, err := c.fresh(ctx, id, at, at)
	if err != nil {
		tell(Finding{"registry push", false, fmt.Sprintf("%v; see that a registry runs at %s and that the manager reaches it, or make one: "+
			"coinbench swarm bootstrap", err, at)})
		return nil
	}
	tell(Finding{"registry push", true, "the manager's engine pushed to " + at})
	results, err := c.pullEverywhere(ctx, doctorApp, image)
	if err != nil {
		return err
	}
	for _, r := range results {
		f := Finding{"registry pull " + r.node, r.fault == "", "the node pulled from " + at}
		if !f.OK {
			f.Text = r.fault + "; " + toPull(at)
		}
		tell(f)
	}
	return nil
}
