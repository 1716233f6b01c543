package cluster

import (
	"context"
	"time"
)

// Partitioner is the ability to cut a node off from the others.
type Partitioner interface {
	// Partitions says why no node can be cut off here, and what to do; nil: it can be done.
	Partitions() error

	// Partition cuts a node off for a time, so that nothing comes to it or from it, and returns at once. It is mended after
	// that time whatever becomes of the caller, and by Remove.
	Partition(ctx context.Context, node string, d time.Duration) error
}

// HealthReporter is a cluster that can be lost while a run goes on.
type HealthReporter interface {
	// Lost says that nothing was heard of the cluster for so long that the run has no sense any more; nil: it goes on.
	Lost() error
}
