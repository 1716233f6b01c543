// Package overlay is an app's own network on a Swarm, and the way into it.
//
// The way is a relay (package relay), a container on the manager, spoken to over its standard streams: through it come the
// counters of every task, and names are looked up as the app does. Jobs, whose copies generate load, are services whose tasks run once;
// they meet at the relay, and what they print comes back over the engine's log stream. So nothing is published, nothing listens
// outside the overlay, and no credential is needed beyond the engine's socket.
package overlay
