package engine

import "github.com/moby/moby/client"

// The labels of what is ours. A thing without the first of them was not made by coinbench and is never touched.
const (
	AppLabel      = "coinbench.app"
	RunLabel      = "coinbench.run"
	ModeLabel     = "coinbench.mode"     // run: ends with its process; up: until `down`
	NodeLabel     = "coinbench.node"     // ID of the node whose engine made it
	OrderLabel    = "coinbench.order"    // place of a service in its app
	ServiceLabel  = "coinbench.service"  // the cluster.Service as JSON
	PriorLabel    = "coinbench.previous" // the same before the last update
	PartLabel     = "coinbench.part"     // app, probe, relay, job, node, registry
	RegistryLabel = "coinbench.registry" // address of the registry that this service is, for every node
	ColourLabel   = "coinbench.colour"   // blue or green: the set of tasks that this engine's service is, behind a gateway
	KeptLabel     = "coinbench.kept"     // true: a set that was switched away from
	StackLabel    = "com.docker.stack.namespace"

	// AvailabilityLabel, on a node, is what it was before it was drained. The other labels on it say by which run.
	AvailabilityLabel = "coinbench.availability"
)

// Up is the value of ModeLabel on what outlives its process.
const Up = "up"

// ServiceName is a service's name on the engine; inside the overlay its own name is an alias.
func ServiceName(app, service string) string { return app + "_" + service }

// NetworkName is the overlay's.
func NetworkName(app string) string { return app + "_overlay" }

// Labels are those of a part of an app that this run makes.
func (e *Engine) Labels(app, part string) map[string]string {
	mode := "run"
	if e.Keep {
		mode = Up
	}
	return map[string]string{AppLabel: app, RunLabel: e.Run, ModeLabel: mode, PartLabel: part, NodeLabel: e.Node}
}

// Labelled is the filter of what has all of the labels, each NAME=VALUE.
func Labelled(labels ...string) client.Filters { return make(client.Filters).Add("label", labels...) }

// OfService is the filter of a service's tasks.
func OfService(id string) client.Filters { return make(client.Filters).Add("service", id) }
