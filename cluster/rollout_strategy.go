package cluster

import (
	"context"
	"time"
)

// Strategy is a way to roll a change out.
type Strategy string

// The strategies. Serial, AllAtOnce and Batched are settings of a rolling update, which every cluster knows; the others are
// an ability.
const (
	RollingUpdate Strategy = "rolling"     // lanes, as Rollout says
	Serial        Strategy = "serial"      // one replica after the other
	Batched       Strategy = "batched"     // images are pulled everywhere first; then a window of an eighth of the replicas
	AllAtOnce     Strategy = "all-at-once" // every replica at the same time
	BlueGreen     Strategy = "blue-green"  // a second set next to the first, switched at once when all of it is healthy
	Canary        Strategy = "canary"      // one replica, compared with the rest; then on or back
)

// Strategies lists them in the order of the documentation.
func Strategies() []Strategy {
	return []Strategy{RollingUpdate, Serial, Batched, AllAtOnce, BlueGreen, Canary}
}

// Window is how many of n replicas a batched rollout replaces at the same time: an eighth of them, rounded up.
func Window(n int) int { return (n + 7) / 8 }

// Rollout returns r as the strategy has it for a service of n replicas. Serial and batched have no delay between replicas;
// rolling, blue-green and canary leave r as it is.
func (s Strategy) Rollout(r Rollout, n int) Rollout {
	switch s {
	case Serial:
		r.Parallelism, r.Delay = 1, 0
	case Batched:
		r.Parallelism, r.Delay = Window(n), 0
	case AllAtOnce:
		r.Parallelism, r.Delay = 0, 0
	}
	return r
}

// Strategist is the ability to roll out in other ways than by lanes.
type Strategist interface {
	// Strategies lists what Change.Strategy may be besides empty, and so whether Change.Pull and Change.Slots have an effect.
	Strategies() []Strategy
}

// GatewayRouter is a Strategist whose blue-green needs Service.Gateway; others switch their own balancing.
type GatewayRouter interface {
	Strategist
	NeedsGateway() bool
}

// Restarter is the ability to replace every task by one that is the same.
type Restarter interface {
	// Restart replaces every task of a service by a rolling update under its Update settings.
	Restart(ctx context.Context, service string) error
}

// Pauser is the ability to stop a replica's processes without ending them.
type Pauser interface {
	// Pause freezes the replica in the slot for a time and returns at once. Connections to it are made and not answered.
	Pause(ctx context.Context, service string, slot int, d time.Duration) error
}

// LatencyInjector is the ability to make the way to a replica slow.
type LatencyInjector interface {
	// Slow delays every connection to the replica in the slot by delay, for a time, and returns at once.
	Slow(ctx context.Context, service string, slot int, delay, d time.Duration) error
}

// Drainer is the ability to empty a node.
type Drainer interface {
	// Drain moves every task away from a node, which takes none until Activate. It returns when the tasks run elsewhere.
	Drain(ctx context.Context, node string) error
	Activate(ctx context.Context, node string) error
}
