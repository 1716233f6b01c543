package cluster

import (
	"context"
	"net"
	"time"
)

// Dialer is the ability to connect from where the harness runs to an address that Address returned, where that is not simply
// reached. It is for looking at the app, not for measuring it.
type Dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Jobs is the ability to run copies of our own program inside the cluster's network, where load must come from.
type Jobs interface {
	// RunJob runs a job to its end. message is told of every message that a copy (1-based) sends, in the order of that copy, by
	// one goroutine at a time. The error names the node of a copy that failed, or whose messages are not complete.
	RunJob(ctx context.Context, job Job, message func(copy int, node string, message []byte)) error
}

// Job is what runs inside the cluster.
type Job struct {
	Name   string            // tells jobs of a run apart, for people
	Args   []string          // of coinbench's command line
	Env    map[string]string //
	Copies int               // at least 1, spread over the nodes

	// Origin is the instant that the copies count from; they meet, and begin together Delay after the last one has come.
	Origin time.Time
	Delay  time.Duration
}
