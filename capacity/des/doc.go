// Package des plays the app in virtual time: a discrete-event simulator of workers, services, balancers and load.
//
//	 worker                    service rng                          a task of rng
//	+--------------------+    +---------------------------+        +-------------------------------+
//	| flush if a second  |    | balancer: round robin,    |   +--> | queue (bounded) -> slots      | -+
//	|   has passed       |    |  random, least connections|   |    +-------------------------------+  |
//	| think              |    |  or sticky, over the      |---+--> | ...                           |  |
//	| overhead, call rng |--->|  tasks in rotation        |        +-------------------------------+  |
//	|                    |<--------------------------------------------------------------------------+
//	| overhead, call     |---> service hasher, the same
//	|   hasher           |<---
//	| count the hash     |    an exception at any call: what was not flushed is lost, silence for the back-off, again
//	+--------------------+
//
//	 load: closed (N clients) or open (a schedule)  --->  any service, through the same balancer
//
// In goes what each service is told (settings.Settings, the same value that configures the real one), and a seed. Out come
// counters with the meanings of package history's series, the Intervals and Samples of a load, and events of tasks. Time advances
// only in RunUntil and its like; everything else happens at the present instant. The same calls with the same seed
// give the same bytes for ever.
//
// It does not model CPU, memory, bandwidth or the time of a name look-up (Service.Network and Settings.CallOverhead stand for
// those), and knows no rollout: its caller starts and stops tasks.
//
// How it is fast: events are 24 bytes in arrays and a switch, not closures. Pending events with a constant delay (think time, service
// time) fall due in the order in which they were made, so each such delay has a ring of its own in which an event costs O(1); the
// others share one 4-ary heap. Nothing is allocated for an event once the arrays have grown.
package des
