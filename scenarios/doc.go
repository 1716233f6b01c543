// Package scenarios is the language in which a run is written, and the runner that plays it.
//
// A YAML file enters Parse and leaves as a Scenario: every parameter resolved, every default in place, every step
// checked against the app, or every fault at once, each with its line and its column. Check holds a Scenario against the
// abilities of a Cluster before anything starts. Run plays it: it deploys, scales, updates, measures and sends load, and
// writes all that happens into a history.
//
//	YAML -> Parse -> Scenario -> Check(cluster) -> Run -> history
//
// Each verb of the language is one file, step_<verb>.go, and one line in the table of step.go.
//
// The package judges nothing (package capacity does), draws nothing, reads no environment and installs no signal handler.
package scenarios
