// Package local runs an App on this machine, without Docker. It is the embedded cluster.
//
// In goes an App whose images are coinbench's own, and Redis. Every replica is a process of coinbench's own binary
// (`coinbench service rng`) on the loopback interface; Redis is embedded, or the one at Config.Redis. Every service has a
// virtual address: a proxy in this process that spreads connections over the replicas that are healthy. Out come events, addresses,
// counters and one log file a task.
//
//	client -> virtual address of rng -> rotation -> rng.1 (process)
//	          127.0.0.1:p               round robin  rng.2 (process)
//
// A replica's life is that of a Swarm task: started, healthy, in rotation; out of rotation, told to stop, gone; a new task
// takes the place of one that ended by itself. No replica outlives this process: each holds a pipe whose other end
// closes with it, and on Linux the kernel kills those that do not listen.
//
// The package places nothing, limits neither memory nor processors, and gives replicas no file system or network of their own: Check
// refuses an App that asks for it.
package local
