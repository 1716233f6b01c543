package history

import (
	"slices"
	"time"

	"coinbench/history/event"
)

// Version is the format's version; a reader refuses a newer one.
const Version = 1

// Manifest says what was asked. It is written once, before anything else happens.
type Manifest struct {
	Version   int               `json:"version"`
	Scenario  string            `json:"scenario"`
	Cluster   string            `json:"cluster"`            // local, swarm or sim
	Simulated bool              `json:"simulated"`          // true: a prediction, nothing was measured
	Start     time.Time         `json:"start"`              // wall clock, UTC
	Seed      uint64            `json:"seed"`               //
	Command   []string          `json:"command"`            // what repeats the run
	Settings  map[string]string `json:"settings,omitempty"` // --set key=value, and the defaults that were in force
	Coinbench string            `json:"coinbench"`          // version of the binary
	Host      Host              `json:"host"`               // where the harness ran
	Roles     Roles             `json:"roles,omitzero"`     // of the app's services
	Engines   bool              `json:"engines,omitempty"`  // container engines and their health checks run besides the app

	Secrets Secrets `json:"-"` // which no text of the record may repeat, besides those that Create finds by their names
}

// Host is the fingerprint of the machine that ran the harness.
type Host struct {
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	Kernel      string `json:"kernel,omitempty"`
	CPU         string `json:"cpu,omitempty"`
	CPUs        int    `json:"cpus"`
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
	Go          string `json:"go"`
}

// Event is one thing that was done to the cluster or that the cluster did.
type Event struct {
	At      time.Duration     // since Manifest.Start
	Step    int               // 1-based number of the step in force; 0: none
	Service string            //
	Task    string            // "rng.3#2": slot 3 of rng, its second task
	Payload event.Payload     // what it was
	Rest    map[string]string // what a newer version says of it, besides
}

// Detail is what the payload says, as a record has it.
func (e Event) Detail() map[string]string { return event.Encode(e.Payload, event.Plain) }

// Is says whether the event is of the kind of one of the payloads.
func (e Event) Is(kinds ...event.Payload) bool {
	return slices.ContainsFunc(kinds, func(p event.Payload) bool { return p.Kind() == e.Payload.Kind() })
}

// NewEvent is an event of a service or of one of its tasks.
func NewEvent(service, task string, p event.Payload) Event {
	return Event{Service: service, Task: task, Payload: p}
}

// Reading is what one task's counters said at one instant. Keys of Values are Prometheus series names as the services
// export them, with sorted labels: `coinbench_requests_total{code="200",method="GET"}`. Histograms appear by their _sum and
// _count only. A task that restarts is another task, so a counter never falls within one Task.
type Reading struct {
	At      time.Duration `json:"at"`
	Service string        `json:"service"`
	Task    string        `json:"task"`
	Values  Values        `json:"values"`
}

// Names of the series that the services export and the analysis reads. Counters of requests carry code and method.
const (
	Requests     = "coinbench_requests_total"              // counter: requests answered, by code and method
	Busy         = "coinbench_busy_seconds_total"          // counter: seconds of occupied server, summed over the slots
	Concurrency  = "coinbench_concurrency"                 // gauge: requests served at once; 0: unlimited
	InFlight     = "coinbench_in_flight"                   // gauge: requests in service
	QueueLength  = "coinbench_queue_length"                // gauge: requests waiting for a slot
	QueueSum     = "coinbench_request_queue_seconds_sum"   // counter: seconds waited, all requests
	QueueCount   = "coinbench_request_queue_seconds_count" // counter: requests that took their place in service
	ServiceSum   = "coinbench_request_service_seconds_sum" // counter: seconds in service
	ServiceCount = "coinbench_request_service_seconds_count"
	Hashes       = "coinbench_worker_hashes_total"         // counter: loops completed
	LastHash     = "coinbench_worker_last_hash_seconds"    // gauge: Unix time at which the latest loop completed
	Counted      = "coinbench_worker_counted_total"        // counter: hashes that were added to Redis
	Lost         = "coinbench_worker_lost_total"           // counter: hashes done but never added to Redis, lost by an exception
	Unflushed    = "coinbench_worker_unflushed"            // gauge: hashes done and waiting for the next flush
	Coins        = "coinbench_worker_coins_total"          // counter: hashes that start with 0
	Posted       = "coinbench_worker_posted_total"         // counter: POSTs to hasher that were answered
	WorkerErrors = "coinbench_worker_errors_total"         // counter: by class
	Backoffs     = "coinbench_worker_backoffs_total"       // counter: times the worker began to wait after an error
	Silence      = "coinbench_worker_silent_seconds_total" // counter: seconds for which the worker waited after errors
	BackingOff   = "coinbench_worker_backing_off"          // gauge: 1 while it waits
	StageSum     = "coinbench_worker_stage_seconds_total"  // counter: seconds by stage: think, rng, hasher, redis, overhead
	StageCount   = "coinbench_worker_stages_total"         // counter: stages that StageSum is the time of
	Slept        = "coinbench_sleep_seconds_total"         // counter: seconds for which delays were to last
	SleptLate    = "coinbench_sleep_late_seconds_total"    // counter: seconds by which they lasted longer
	ProcessCPU   = "process_cpu_seconds_total"             // counter
	HostCPU      = "host_cpu_seconds_total"                // counter: seconds that the host's processors offered, all together (service host)
	HostBusy     = "host_cpu_busy_seconds_total"           // counter: those that something used (service host)
	// counter: time in which something was ready to run and had to wait for a processor (service host; Linux with PSI)
	HostPressure = "host_cpu_pressure_seconds_total"
	RedisHashes  = "redis_hashes" // the counter `hashes` in Redis (service redis)
	RedisCoins   = "redis_coins"  // the size of `wallet` in Redis (service redis)
)
