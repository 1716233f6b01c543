package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/lab"
	"coinbench/loadgen/remote"
)

// swarmFlags are those that only a Swarm heeds.
type swarmFlags struct {
	endpoint   string
	registry   string
	tag        string
	socket     string
	generators int
	deadline   time.Duration
}

func (f *swarmFlags) add(c *cobra.Command) {
	var modes []string
	for _, m := range swarm.EndpointModes() {
		modes = append(modes, string(m))
	}
	c.Flags().StringVar(&f.endpoint, "endpoint-mode", string(swarm.Auto), "how a service's name leads to its replicas: "+strings.Join(modes,
		", ")+" (swarm)")
	c.Flags().StringVar(&f.registry, "registry", "", "pull coinbench's images from the registry at `HOST:PORT` (swarm)")
	c.Flags().StringVar(&f.tag, "tag", "v0.1", "tag of the image that load generators run (swarm)")
	c.Flags().StringVar(&f.socket, "engine-socket", "", "the engine's socket on every node (default /var/run/docker.sock) (swarm)")
	c.Flags().IntVar(&f.generators, "generators", 1, "number of load generators, spread over the nodes (swarm)")
	c.Flags().DurationVar(&f.deadline, "deadline", time.Minute, "how long a change of a service may take, besides what the app itself asks "+
		"for (swarm)")
}

// engine is that which the environment names (DOCKER_HOST and its like); keep says that what is made shall outlive this process.
func (f swarmFlags) engine(keep bool) (*engine.Engine, error) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		return nil, usage(fmt.Errorf("DOCKER_HOST: %w; accepted: such as unix:///var/run/docker.sock or tcp://HOST:2376", err))
	}
	return engine.New(c, engine.Options{Keep: keep, Registry: f.registry, Tag: f.tag, Socket: f.socket, Deadline: f.deadline}), nil
}

func newSwarm(f clusterFlags, asked request) (testbed, error) {
	c, err := f.onSwarm(asked.start, asked.sink, false)
	if err != nil {
		return testbed{}, err
	}
	// Load must come from inside the overlay.
	return testbed{cluster: c, engines: true, play: remote.Generators(c, f.swarm.generators), start: asked.start,
		ready: func() error { return reach(c.Ready) }}, nil
}

// onManager is onSwarm where there is an engine, and a manager of a Swarm: without them nothing can be asked for.
func (f clusterFlags) onManager(start time.Time, sink cluster.Sink, keep bool) (*swarm.Cluster, error) {
	c, err := f.onSwarm(start, sink, keep)
	if err != nil {
		return nil, err
	}
	return c, reach(c.Ready)
}

// reach asks an engine once, and not for ever. One that cannot be had is the wrong one to name.
func reach(ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return usage(ask(ctx))
}

// onSwarm makes the cluster and asks it nothing yet; keep says that the app shall outlive this process.
func (f clusterFlags) onSwarm(start time.Time, sink cluster.Sink, keep bool) (*swarm.Cluster, error) {
	publish, err := f.published()
	if err != nil {
		return nil, err
	}
	if f.redis != "" {
		return nil, usage(fmt.Errorf("--redis %s: on a Swarm redis is a service of the app; change its image in the Compose file", f.redis))
	}
	if f.swarm.generators < 1 {
		return nil, usage(fmt.Errorf("--generators %d; accepted: at least 1", f.swarm.generators))
	}
	if f.swarm.deadline < 0 {
		return nil, usage(fmt.Errorf("--deadline %s; accepted: such as 1m", f.swarm.deadline))
	}
	e, err := f.swarm.engine(keep)
	if err != nil {
		return nil, err
	}
	config := swarm.Config{Sink: sink, Start: start, Endpoint: swarm.EndpointMode(f.swarm.endpoint), Publish: publish}
	if l := lab.Serving(e.DaemonHost()); l != nil {
		config.Lab = l
	}
	c, err := swarm.New(e, config)
	return c, usage(err)
}
