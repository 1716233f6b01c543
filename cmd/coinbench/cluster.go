package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/local"
	"coinbench/history"
	"coinbench/loadgen"
)

// clusterFlags are the flags of every command that runs an app.
type clusterFlags struct {
	name    string
	redis   string
	publish []string
	swarm   swarmFlags

	attached *attachment // the app that is up, which is used instead; nil: one is deployed
	binary   string      // of the services, on local; "": this one
}

func (f *clusterFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "cluster", "local", "where the app runs: "+strings.Join(clusterNames(), ", "))
	c.Flags().StringVar(&f.redis, "redis", "",
		"a Redis at `HOST:PORT` instead of the embedded one; its keys hashes and wallet are used (local)")
	c.Flags().StringArrayVar(&f.publish, "publish", nil, "publish a service on another port of this machine, or of the Swarm, as "+
		"`SERVICE=PORT`; 0 is any free one")
	f.swarm.add(c)
}

// clusterTable has a line for each cluster.
func clusterTable() []clusterMaker {
	return []clusterMaker{{"local", newLocal}, {"swarm", newSwarm}, {"sim", newSim}}
}

type clusterMaker struct {
	name string
	make func(f clusterFlags, asked request) (testbed, error)
}

// request is what every cluster is made for.
type request struct {
	dir   string // the run's folder
	seed  uint64
	start time.Time // of the run
	sink  cluster.Sink
}

// testbed is a cluster and the way to send load to it. It does not embed the cluster: that would hide its abilities.
type testbed struct {
	cluster   cluster.Cluster
	play      playFunc     // nil: the load generator, over the network
	simulated bool         // nothing is measured
	engines   bool         // container engines run it
	start     time.Time    // of the run, on the cluster's clock
	ready     func() error // asks what the cluster needs, after everything that can be known without it; nil: it needs nothing
}

// reachable says why nothing can be deployed there.
func (b testbed) reachable() error {
	if b.ready == nil {
		return nil
	}
	return b.ready()
}

type playFunc = func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord, error)

func clusterNames() []string {
	var names []string
	for _, m := range clusterTable() {
		names = append(names, m.name)
	}
	return names
}

// cluster makes the cluster that the flags ask for. It changes nothing yet.
func (f clusterFlags) cluster(asked request) (testbed, error) {
	if _, err := f.published(); err != nil { // whatever the cluster publishes
		return testbed{}, err
	}
	for _, m := range clusterTable() {
		if m.name == f.name {
			return m.make(f, asked)
		}
	}
	return testbed{}, usage(fmt.Errorf("--cluster %s: unknown; accepted: %s", f.name, strings.Join(clusterNames(), ", ")))
}

func newLocal(f clusterFlags, asked request) (testbed, error) {
	// where a process is handed no further pipes (os/exec: ExtraFiles), on which a replica says where it listens
	if runtime.GOOS == "windows" {
		return testbed{}, usage(errors.New("no replica can be started on Windows; accepted: --cluster sim, or --cluster swarm with an " +
			"engine's address"))
	}
	self, err := f.binary, error(nil)
	if self == "" {
		self, err = os.Executable()
	}
	if err != nil {
		return testbed{}, unmeasured(fmt.Errorf("find coinbench's own binary: %w", err))
	}
	publish, err := f.published()
	if err != nil {
		return testbed{}, err
	}
	c, err := local.New(local.Config{Command: []string{self}, Dir: asked.dir, Sink: asked.sink, Redis: f.redis, Publish: publish,
		Seed: asked.seed, Start: asked.start})
	return testbed{cluster: c, start: asked.start}, usage(err)
}

// published are the ports that --publish asks for.
func (f clusterFlags) published() (map[string]int, error) {
	publish := map[string]int{}
	for _, text := range f.publish {
		service, port, ok := strings.Cut(text, "=")
		n, err := strconv.Atoi(port)
		if !ok || err != nil || n < 0 || n > 65535 {
			return nil, usage(fmt.Errorf("--publish %s: accepted: SERVICE=PORT with a port from 0 (any free one) to 65535", text))
		}
		publish[service] = n
	}
	return publish, nil
}
