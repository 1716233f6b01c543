package swarm_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
)

// suite is rng, what depends on it, and redis, which are what the suite looks at.
func suite(t testing.TB) (app cluster.App) {
	app = shipped(t)
	services := app.Services
	app.Services = nil
	for _, s := range services {
		switch s.Name {
		case "hasher":
			continue
		case "worker": // it must take no turns, and none of the engine's time
			s.DependsOn = []string{"redis", "rng"}
			s.Environment = map[string]string{"COIN_THINK": "1h", "COIN_ON_SIGTERM": "exit"}
			s.Health = nil
		}
		app.Services = append(app.Services, s)
	}
	return app
}

// TestConformance plays the suite on an engine in memory, in virtual time.
func TestConformance(t *testing.T) {
	app := suite(t)
	clustertest.RunIn(t, synctest.Test, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) {
		e, client := enginetest.New(t)
		e.Lacks = func(image string) bool { return strings.Contains(image, ":nowhere") }
		c, err := swarm.New(engine.New(client, engine.Options{}), swarm.Config{Sink: sink, Endpoint: swarm.DNSRR})
		if err != nil {
			t.Fatal(err)
		}
		return c, app
	})
}
