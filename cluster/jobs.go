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

// Ports is the ability to reach a service at any of its ports. Other clusters run coinbench's own services only, which have one.
type Ports interface {
	// AddressAt is host:port for a port of the service.
	AddressAt(ctx context.Context, service string, port int) (string, error)
}

// Jobs is the ability to run copies of our own program inside the cluster's network, where load must come from.
type Jobs interface {
	// RunJob runs a job to its end. message is told of every message that a copy (1-based) sends, in the order of that copy, by
	// one goroutine at a time. A JobError says which copy failed, or has not told everything.
	RunJob(ctx context.Context, job Job, message func(copy int, node string, message []byte)) error
}

// Sparer is the ability to keep jobs off nodes.
type Sparer interface {
	// Spare keeps jobs off the named nodes from now on.
	Spare(nodes []string)
}

// Job is what runs inside the cluster.
type Job struct {
	Name string   // tells jobs apart, for people
	Args []string // of coinbench's command line
	Work [][]byte // one copy runs for each and is given it; they are spread over the nodes

	// Origin is the instant that the copies count from. They meet, and begin together Delay after the last one has come.
	Origin time.Time
	Delay  time.Duration
}

// JobError says that a job that had begun did not come to its end, or that not all of what it sent has arrived.
type JobError struct {
	Node   string // where; "": not known
	Reason string
}

// Error names the node.
func (e *JobError) Error() string {
	if e.Node == "" {
		return e.Reason
	}
	return "on " + e.Node + ": " + e.Reason
}
