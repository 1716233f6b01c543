package lab_test

import (
	"os"
	"testing"
	"time"

	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/lab/labtest"
)

func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }

func TestUpDown(t *testing.T) {
	t0 := time.Now()
	l := labtest.Up(t, lab.Config{Name: "try", Progress: func(s string) { t.Log(time.Since(t0), s) }})
	t.Log("up", time.Since(t0))
	nodes, err := l.Ps(t.Context())
	t.Log(nodes, err, time.Since(t0))
	t0 = time.Now()
	if err := l.Down(t.Context()); err != nil { t.Error(err) }
	t.Log("down", time.Since(t0))
}
