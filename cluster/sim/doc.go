// Package sim is a cluster in virtual time: it deploys, scales, updates and kills like the others, and a minute passes in
// milliseconds. The app is played by capacity/des from the same Compose file, images and environments.
//
// In go the same App and calls as for any cluster; out come the same events and readings, so a simulated run's history is read and
// judged as a measured one. The same calls with the same seed give the same bytes. Rolling updates follow cluster.Rolling, the
// same code that the real clusters use.
//
// Time passes only while every participant waits: in Sleep, in a method that waits for the cluster to converge, or in Play. The caller is
// one participant; a goroutine next to it is another if it was started with Go. The one that is woken runs alone until it waits again, so
// the order of things does not depend on the scheduler:
//
//	caller   |Deploy....|  |Sleep 30 s .....................|
//	poller                 |Sleep 1 s|read|Sleep 1 s|read|...
//	time     0 -> 1.2 s    1.2 ----> 2.2 --------> 3.2  ---> 31.2
//
// No socket leads here: an address says which service is meant, and Play plays load. A health check of the port on which a service works
// waits behind its other requests, and a task that fails it is replaced; one of the admin port only tells when a task may join. What it
// does not do: CPU, memory, name look-ups.
package sim
