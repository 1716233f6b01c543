package swarm_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

// shared is one lab of three nodes for all tests of the package, whose registry has the images v0.1 and v9.9.
var shared = &labtest.Shared{Config: lab.Config{Name: "swarmtest", Nodes: 3, Heartbeat: time.Second}, Tags: []string{"v0.1", "v9.9"}}

func TestMain(m *testing.M) { os.Exit(labtest.Main(m, shared)) }

func real(t testing.TB) *lab.Lab {
	t.Helper()
	return shared.Lab(t)
}

func manager(t testing.TB, l *lab.Lab) *client.Client {
	t.Helper()
	c, err := l.Client("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// shipped is the app of docker-compose.yml without its web page, with delays that do not keep the tests waiting, and health checks
// that bear a machine that others use: an engine starts a process for each, so that they are most of the work of many small apps.
func shipped(t testing.TB) cluster.App {
	t.Helper()
	app := clustertest.Shipped(t, "monitor: 5s", "monitor: 10ms", "delay: 5s", "delay: 500ms", "interval: 1s", "interval: 2s", "timeout: 5s",
		"timeout: 10s")
	return without(app, "webui")
}

func without(app cluster.App, service string) cluster.App {
	var rest []cluster.Service
	for _, s := range app.Services {
		if s.Name != service {
			rest = append(rest, s)
		}
	}
	app.Services = rest
	return app
}

// on makes a cluster on the shared lab. What it leaves is a failure of the test.
func on(t *testing.T, options engine.Options, config swarm.Config) (*swarm.Cluster, *engine.Engine) {
	t.Helper()
	e := engine.New(manager(t, real(t)), options)
	if config.Endpoint == "" {
		config.Endpoint = swarm.DNSRR
	}
	c, err := swarm.New(e, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil {
			t.Errorf("remove: %v", err)
		}
		nothingWith(t, e.Client, "coinbench.run="+e.Run)
	})
	return c, e
}

// nothingWith says what with a label is on the Swarm, once the engines have had their time: they remove the containers of tasks
// that have ended a little later.
func nothingWith(t *testing.T, at *client.Client, label string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	with := engine.Labelled(label)
	for {
		var left []string
		services, err := at.ServiceList(ctx, client.ServiceListOptions{Filters: with})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range services.Items {
			left = append(left, "the service "+s.Spec.Name)
		}
		networks, err := at.NetworkList(ctx, client.NetworkListOptions{Filters: with})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range networks.Items {
			left = append(left, "the network "+n.Name)
		}
		containers, err := at.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: with})
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 { // the containers alone may take a moment more
			t.Errorf("left: %s", strings.Join(left, ", "))
			return
		}
		if len(containers.Items) == 0 {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Errorf("the container %v is left: %s", containers.Items[0].Names, containers.Items[0].Status)
			return
		}
	}
}

// TestConformanceOnASwarm plays every part of the suite with an app of its own name, several at the same time.
func TestConformanceOnASwarm(t *testing.T) {
	labtest.Require(t)
	base := suite(t)
	var number atomic.Int32
	clustertest.Run(t, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) {
		t.Parallel()
		app := base
		app.Name = fmt.Sprintf("suite%d", number.Add(1))
		c, _ := on(t, engine.Options{}, swarm.Config{Sink: sink})
		return c, app
	})
}
