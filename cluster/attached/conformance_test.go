package attached

import (
	"testing"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
)

// Over the socket the local cluster keeps every promise that it keeps in its own process.
func TestConformance(t *testing.T) {
	clustertest.Run(t, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) {
		return keep(t).open(t, sink), shipped(t)
	})
}
