// Package relay lets a harness reach into an overlay network through nothing but the standard streams of a container in it.
//
// One end, Serve, runs in the container: an HTTP/2 server whose only connection is stdin and stdout. The other end, Client,
// has the engine's attached stream. Over it go connections to addresses inside the overlay, look-ups of its names, and the
// counters of the relay's machine:
//
//	harness ── engine's socket ── stdin, stdout ── relay ──┬── dial ── rng.1:8081
//	                                                       ├── resolve tasks.rng
//	                                                       └── host
//
// In the relay's container the copies of jobs meet too (package remote), which the harness reaches like anything else inside. When
// stdin ends, so does the relay: nothing of it outlives the harness. The package knows no Docker and prints nothing.
package relay
