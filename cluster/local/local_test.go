package local

import (
	"os"
	"testing"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
)

// shipped is the app of docker-compose.yml, with health checks that do not keep the tests waiting.
func shipped(t testing.TB) cluster.App { return clustertest.Quick(t) }

// newCluster makes a cluster whose replicas are this test binary.
func newCluster(t testing.TB, config Config) *Cluster {
	t.Helper()
	config.Command = []string{os.Args[0]}
	if config.Publish == nil {
		config.Publish = map[string]int{"webui": 0}
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	clustertest.Run(t, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) {
		// A worker's calls would take turns that the suite counts.
		app, err := shipped(t).With("worker", nil, cluster.Change{Environment: map[string]string{"COIN_THINK": "1h", "COIN_ON_SIGTERM": "exit"}})
		if err != nil {
			t.Fatal(err)
		}
		return newCluster(t, Config{Dir: t.TempDir(), Sink: sink}), app
	})
}
