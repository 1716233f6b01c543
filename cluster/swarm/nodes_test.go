package swarm

import (
	"io"
	"testing"
	"time"

	"coinbench/cluster/swarm/engine"
)

// An engine that does not answer is waited for as long as a change may take.
func TestLost(t *testing.T) {
	c, err := New(engine.New(nil, engine.Options{Deadline: time.Hour}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Lost() != nil {
		t.Error("lost before anybody asked")
	}
	c.seen, _ = c.seen.Heard(io.EOF, time.Now().Add(-time.Minute))
	if c.Lost() != nil {
		t.Error("lost after a minute of an hour")
	}
	c.seen, _ = c.seen.Forget().Heard(io.EOF, time.Now().Add(-2*time.Hour))
	if c.Lost() == nil {
		t.Error("not lost after two hours")
	}
}

func TestPartitionsNeedALab(t *testing.T) {
	if err := new(Cluster).Partitions(); err == nil {
		t.Error("a node can be cut off without a lab")
	}
}
