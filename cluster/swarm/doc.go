// Package swarm runs an App on a Docker Swarm, through nothing but the API of one manager's engine.
//
// In goes a Config with a connection to the engine; out comes a cluster.Cluster. Every service, network and container that
// it makes carries labels, by which it is found again and removed, and nothing else is ever touched. What happens is read
// from the engine's tasks several times a second and told as events; convergence is decided by task states alone.
//
// Two things live in the overlay network besides the app. A relay (package relay) is a container on the manager, spoken to
// over its standard streams: the counters of every task are read through it, and names are looked up as the app does.
// Load runs as jobs, services whose tasks run once, whose results come back over the engine's log stream (package frame). So nothing is
// published, nothing listens outside the overlay, and no credential is needed beyond the engine's socket.
package swarm
