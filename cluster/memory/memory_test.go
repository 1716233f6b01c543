package memory

import (
	"testing"
	"testing/synctest"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
)

func TestConformance(t *testing.T) {
	app, err := clustertest.Shipped(t).With("worker", nil, cluster.Change{Environment: map[string]string{"COIN_THINK": "1h"}})
	if err != nil {
		t.Fatal(err)
	}
	clustertest.RunIn(t, synctest.Test, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) { return New(sink), app })
}
