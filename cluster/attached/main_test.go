package attached

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"coinbench/cluster"
	"coinbench/cluster/clustertest"
	"coinbench/cluster/local"
)

// TestMain runs the tests, or, as `service <name>`, the replica that they deploy.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "service" {
		os.Exit(clustertest.Replica(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// shipped is the app of docker-compose.yml, with health checks that do not keep the tests waiting and a worker whose calls take no turns.
func shipped(t testing.TB) cluster.App {
	t.Helper()
	app, err := clustertest.Quick(t).With("worker", nil, cluster.Change{
		Environment: map[string]string{"COIN_THINK": "1h", "COIN_ON_SIGTERM": "exit"}})
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// kept is a server of a local cluster, with its socket. It ends with the test.
type kept struct {
	*Server
	folder string
	ended  chan struct{} // closed when Serve has returned
	err    error         // what it returned
}

func keep(t *testing.T) *kept {
	t.Helper()
	return keepCluster(t, func(sink cluster.Sink, start time.Time) cluster.Cluster {
		c, err := local.New(local.Config{Command: []string{os.Args[0]}, Dir: t.TempDir(), Sink: sink, Start: start,
			Publish: map[string]int{"webui": 0}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}

func keepCluster(t *testing.T, make_ func(sink cluster.Sink, start time.Time) cluster.Cluster) *kept {
	t.Helper()
	folder := filepath.Join(socketDir(t), "coinbench")
	l, err := Listen(folder)
	if err != nil {
		t.Fatal(err)
	}
	events, start := &Events{}, time.Now()
	k := &kept{folder: folder, ended: make(chan struct{})}
	k.Server = NewServer(Host{Cluster: make_(events.Add, start), Events: events, Start: start})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(k.ended)
		k.err = k.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		<-k.ended
		if k.err != nil {
			t.Errorf("serve: %v", k.err)
		}
	})
	return k
}

// socketDir is a folder whose name is short: that of a socket can have about 100 bytes.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (k *kept) open(t *testing.T, sink cluster.Sink) *Cluster {
	t.Helper()
	c, err := Open(t.Context(), k.folder, Config{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
