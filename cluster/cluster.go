// Package cluster says what a place is that an App can run in, and how the harness speaks of it.
//
// A Cluster deploys an App, scales and updates its services, says where they are reached and what their counters read.
// Everything that it does or sees happening it reports as a history.Event to the sink it was made with, before the method
// that caused it returns. Optional abilities (Killer, Logs) are small interfaces that a caller asks for by type assertion.
//
// The package plays no load, knows no scenario and judges nothing.
package cluster

import (
	"context"
	"io"
	"time"

	"coinbench/history"
)

// Cluster is where an App runs. Every method that changes something returns when the change has converged, the context is
// done or the cluster's own deadline has passed; the error then says which task is not there yet and why.
// Methods may be called from several goroutines.
type Cluster interface {
	// Name is local, swarm or sim.
	Name() string

	// Check says, without touching anything, whether this cluster can run the app; all faults at once.
	Check(app App) error

	// Deploy brings the app up, services in the order of App.Services (dependencies first), each converged before
	// those that depend on it start.
	Deploy(ctx context.Context, app App) error

	// Scale sets the replicas of a service.
	Scale(ctx context.Context, service string, replicas int) error

	// Update changes a service's image, environment or balancing by a rolling update. A RolloutError says that the update was
	// paused or rolled back.
	Update(ctx context.Context, service string, change Change) error

	// Status lists the services as they are now, in the order of App.Services.
	Status(ctx context.Context) ([]ServiceStatus, error)

	// Address is host:port, where load for the service must be sent: it balances over the replicas per connection.
	Address(ctx context.Context, service string) (string, error)

	// Counters reads every task's counters now. A task that does not answer in a second is left out; the error joins why,
	// and the readings of the others are returned with it. Instants are those of Now, relative to the run's start.
	Counters(ctx context.Context) ([]history.Reading, error)

	// Now and Sleep are the cluster's clock: real time, or virtual time in a simulator.
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error

	// Remove takes down everything that this cluster made. It works after a failure and a second time, and leaves alone what
	// it did not make.
	Remove(ctx context.Context) error
}

// Sink takes events. The cluster sets Service, Task and Payload; the sink stamps the rest.
// It may be called from several goroutines.
type Sink func(history.Event)

// Killer is the ability to make a replica die.
type Killer interface {
	// Kill ends the replica in the slot (1-based) as by SIGKILL. Its successor starts after fault.Down. A cluster that keeps no dead
	// replica in rotation answers fault.InRotation with errors.ErrUnsupported, whatever is deployed.
	Kill(ctx context.Context, service string, slot int, fault Fault) error
}

// Fault says how a killed replica stays away.
type Fault struct {
	Down       time.Duration // until its successor starts; 0: the service's own restart delay
	InRotation bool          // true: the balancer keeps sending connections to the dead replica, which are refused
}

// Rollbacker is the ability to undo an update.
type Rollbacker interface {
	// Rollback returns a service to what it was before its last Update, by a rolling update under its Rollback settings; its
	// replicas stay as they are. A second Rollback undoes the first.
	Rollback(ctx context.Context, service string) error
}

// VirtualClock is the ability of a cluster whose time passes only while everyone who uses it waits. Go starts a goroutine next to the
// caller that uses the cluster too; the function that it returns waits for its end.
type VirtualClock interface {
	Go(f func()) (wait func())
}

// Exporter is the ability to say where tasks serve metrics to Prometheus, at addresses that are reached from this machine.
type Exporter interface {
	// MetricsTargets are those of the tasks that serve now.
	MetricsTargets() []MetricsTarget
}

// MetricsTarget is where a task serves its metrics, at /metrics.
type MetricsTarget struct {
	Service string
	Task    string
	Slot    int    // 1-based
	Version string // that it runs
	Address string // host:port
}

// Logs is the ability to read what a task printed.
type Logs interface {
	// Logs writes the output so far of every task of the service, each line with the task's name before it.
	Logs(ctx context.Context, service string, w io.Writer) error
}

// LogFollower is the ability to read on what tasks print.
type LogFollower interface {
	// FollowLogs is Logs, and goes on with what the tasks and their successors print, until the app is gone, or until ctx is done, whose
	// error it returns.
	FollowLogs(ctx context.Context, service string, w io.Writer) error
}

// Change is what an Update changes; zero fields stay as they are.
type Change struct {
	Image       string            // another image or tag
	Environment map[string]string // merged over the present one; an empty value removes the name
	Balance     Balance           //
	Rollout     *Rollout          // settings of this and later updates; nil: those in force

	// The fields below are of this update only, and have an effect where the cluster is a Strategist.
	Strategy Strategy      // Batched pulls everywhere first, BlueGreen has its own way; else by lanes
	Pull     time.Duration // how long a node takes to pull the image; only for clusters that pull none
	Slots    []int         // replace only the tasks in these slots, or, where the engine chooses, that number; nil: all
}

// ServiceStatus is a service as it is now.
type ServiceStatus struct {
	Service
	Running   int    // tasks in rotation
	Note      string // what a person must know, such as of an update that was cut off; "": nothing
	Tasks     []Task
	Published []string // host:port at which the published ports are reached from outside
}

// TaskState is the state of a task, in the words of Docker Swarm.
type TaskState string

// The states of a task, in the order in which it passes through them.
const (
	Starting TaskState = "starting" // started, not yet in rotation
	Running  TaskState = "running"  // in rotation
	Stopping TaskState = "stopping" // told to stop
	Complete TaskState = "complete" // gone, as it was told
	Failed   TaskState = "failed"   // gone or ill by itself
)

// Task is one replica's life: a slot has many tasks, one after the other.
type Task struct {
	Name    string // "rng.3#2": the second task in slot 3 of rng; unique within a run
	Service string
	Slot    int // 1-based
	Node    string
	Image   string
	State   TaskState
	Error   string
	Address string // host:port on which it serves, where that is known
}
