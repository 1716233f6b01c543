// Package serve is what the services have in common: the port they bind, the way they take connections, the port of
// their own for health and metrics, the delay of their work, and how they boot and stop.
//
// A service hands Run its settings and an http.Handler. Run decides when the handler is called: one request at a
// time from the kernel's accept queue (Serial), or from one queue before a number of slots (Pool). The handler
// sleeps, so the way that it is queued is the performance of the app.
//
// The package knows no route and no Redis. It reads no environment and installs no signal handler: what it needs of
// the process comes in a Process.
package serve
