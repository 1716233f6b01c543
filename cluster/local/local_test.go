package local

import (
	"os"
	"testing"

	"coinbench/cluster"
	"coinbench/history"
)

func shipped(t *testing.T) cluster.App {
	t.Helper()
	source, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	app, err := cluster.LoadApp(t.Context(), "docker-compose.yml", source, nil)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestSmoke(t *testing.T) {
	c, err := New(Config{Command: []string{os.Args[0]}, Dir: t.TempDir(), Publish: map[string]int{"webui": 0},
		Sink: func(e history.Event) { t.Log(e) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Remove(t.Context())
	if err := c.Deploy(t.Context(), shipped(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Scale(t.Context(), "rng", 3); err != nil {
		t.Fatal(err)
	}
	st, _ := c.Status(t.Context())
	t.Log(st)
	t.Log(c.Counters(t.Context()))
	if err := c.Scale(t.Context(), "rng", 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
}
