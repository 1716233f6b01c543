// Package attached is how several processes share one app on this machine.
//
// The process that keeps the app up has the cluster and a Server, which answers on a unix socket: HTTP, a POST with a JSON document for
// each method, and a stream for events and for logs. Cluster is the other end: the interface cluster.Cluster again, so that a command, and
// a run too, works on the app as if it had deployed it itself.
//
//	ps, scale, update, run --attach ... -> Cluster -> socket -> Server -> local.Cluster -> replicas
//	                                       sink    <- socket <- Events <-
//
// A change that has begun goes on in the server whatever becomes of the client that asked for it, as on an engine; one that still waits
// for another is given up with its client.
//
// The socket is in a folder that its user alone may enter. Holding the folder's lock is what makes a process the one that keeps the app up:
// the kernel lets go of it when the process ends, in whatever way, and the next one finds at most a stale socket, which it removes.
package attached
