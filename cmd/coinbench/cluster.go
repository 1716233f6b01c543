package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/local"
)

// clusterFlags are the flags of every command that runs an app.
type clusterFlags struct {
	name    string
	redis   string
	publish []string
}

func (f *clusterFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "cluster", "local", "where the app runs: "+strings.Join(clusterNames(), ", "))
	c.Flags().StringVar(&f.redis, "redis", "", "a Redis at `HOST:PORT` instead of the embedded one; its keys hashes and wallet are used (local)")
	c.Flags().StringArrayVar(&f.publish, "publish", nil, "publish a service on another port of this machine, as `SERVICE=PORT`; 0 is any free one (local)")
}

// clusterTable has a line for each cluster.
func clusterTable() []clusterMaker {
	return []clusterMaker{{"local", newLocal}}
}

type clusterMaker struct {
	name string
	make func(f clusterFlags, dir string, seed uint64, sink cluster.Sink) (cluster.Cluster, error)
}

func clusterNames() []string {
	var names []string
	for _, m := range clusterTable() {
		names = append(names, m.name)
	}
	return names
}

// cluster makes the cluster that the flags ask for. It touches nothing yet.
func (f clusterFlags) cluster(dir string, seed uint64, sink cluster.Sink) (cluster.Cluster, error) {
	for _, m := range clusterTable() {
		if m.name == f.name {
			return m.make(f, dir, seed, sink)
		}
	}
	return nil, usage(fmt.Errorf("--cluster %s: unknown; accepted: %s", f.name, strings.Join(clusterNames(), ", ")))
}

func newLocal(f clusterFlags, dir string, seed uint64, sink cluster.Sink) (cluster.Cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, unmeasured(fmt.Errorf("find coinbench's own binary: %w", err))
	}
	publish := map[string]int{}
	for _, text := range f.publish {
		service, port, ok := strings.Cut(text, "=")
		n, err := strconv.Atoi(port)
		if !ok || err != nil || n < 0 || n > 65535 {
			return nil, usage(fmt.Errorf("--publish %s: accepted: SERVICE=PORT with a port from 0 (any free one) to 65535", text))
		}
		publish[service] = n
	}
	c, err := local.New(local.Config{
		Command: []string{self}, Dir: dir, Sink: sink, Redis: f.redis, Publish: publish, Seed: seed,
	})
	return c, usage(err)
}
