package cluster

import (
	"context"
	"io"
	"net"
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

// Jobs is the ability to run copies of our own program inside the cluster's network, where load must come from. The cluster places
// them and gives connections; what they are told and say is package remote's.
type Jobs interface {
	// StartJob starts copies of coinbench with these arguments, spread over the nodes, and returns when all run. Their environment has
	// the variables below.
	StartJob(ctx context.Context, args []string, copies int) (job string, err error)

	// JobOutput is what the copies have written and will, in whole lines, until all have ended or it breaks off.
	JobOutput(ctx context.Context, job string) (io.ReadCloser, error)

	// JobEnds says of the copies (from 1) that have ended, or cannot go on, where and why they failed; "": they did not.
	JobEnds(ctx context.Context, job string) (map[int]string, error)

	// EndJob removes a job, whatever became of ctx.
	EndJob(ctx context.Context, job string)

	// DialMeeting connects to the server at which copies meet.
	DialMeeting(ctx context.Context) (net.Conn, error)
}

// The environment of a job's copy.
const (
	MeetingVariable = "COIN_RELAY" // host:port of the server at which copies meet
	JobVariable     = "COIN_JOB"   // the job's name, by which the copies find each other too, as tasks.NAME
	CopyVariable    = "COIN_COPY"  // its number, from 1
	NodeVariable    = "COIN_NODE"  // where it is
)

// Sparer is the ability to keep jobs off nodes.
type Sparer interface {
	// Spare keeps jobs off the named nodes from now on.
	Spare(nodes []string)
}
