package memory

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
)

func TestConformance(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("..", "..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", source, nil)
	if err != nil {
		t.Fatal(err)
	}
	app, err = app.With("worker", nil, cluster.Change{Environment: map[string]string{"COIN_THINK": "1h"}})
	if err != nil {
		t.Fatal(err)
	}
	clustertest.RunIn(t, synctest.Test, func(t *testing.T, sink cluster.Sink) (cluster.Cluster, cluster.App) { return New(sink), app })
}
