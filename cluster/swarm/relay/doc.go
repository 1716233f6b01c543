// Package relay lets a harness reach into an overlay network through nothing but the standard streams of a container in it.
//
// One end, Serve, runs in the container: an HTTP/2 server whose only connection is stdin and stdout. The other end, Client,
// has the engine's attached stream. Over it go connections to addresses inside the overlay, look-ups of its names, and the
// meeting of load generators, which are tasks and cannot be spoken to from outside:
//
//	harness ── engine's socket ── stdin, stdout ── relay ──┬── dial ── rng.1:8081
//	                                                       ├── resolve tasks.rng
//	                                                       └── generators meet here, and are let go together
//
// The meeting point listens in the overlay only, where the generators are. When stdin ends, so does the relay: nothing of it
// outlives the harness. The package knows no Docker and prints nothing.
package relay
