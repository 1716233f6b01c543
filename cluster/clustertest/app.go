package clustertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coinbench/cluster"
)

// Shipped is the app of docker-compose.yml, seen from a cluster's folder, with some of its text replaced: old, new, old, new.
func Shipped(t testing.TB, replace ...string) cluster.App {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", []byte(strings.NewReplacer(replace...).Replace(string(source))), nil)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// Quick is Shipped for processes, with health checks that do not keep tests waiting.
func Quick(t testing.TB) cluster.App {
	t.Helper()
	app := Shipped(t, "interval: 1s", "interval: 50ms", "monitor: 5s", "monitor: 10ms")
	for _, s := range app.Services { // a binary with the race detector otherwise sleeps a second at its end
		var err error
		if app, err = app.With(s.Name, nil, cluster.Change{Environment: map[string]string{"GORACE": "atexit_sleep_ms=0"}}); err != nil {
			t.Fatal(err)
		}
	}
	return app
}
