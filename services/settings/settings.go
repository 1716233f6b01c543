// Package settings is what the services of the app can be told: one ordered table of environment variables, and the
// typed value that a valid environment becomes.
//
// In goes a map of variables, out comes Settings or every fault of the map at once. The package reads no environment,
// opens nothing and keeps no state, so that a scenario, a Compose file or the simulator can ask whether an
// environment makes sense long before a service starts with it.
package settings

import (
	"net/url"
	"time"
)

// The services of the app that are ours. Redis is the fifth and is not.
const (
	RNG    = "rng"
	Hasher = "hasher"
	Worker = "worker"
	WebUI  = "webui"
	Redis  = "redis"

	// Gateway is no part of the app: it is in front of a service whose releases are blue-green.
	Gateway = "gateway"
)

// StoreError is the class of the worker's exceptions that its store makes.
const StoreError = Redis

// Stages are those of the worker's loop, by which its counters know where its time goes: a stage of a visit has the visited service's name.
func Stages() [5]string { return [5]string{"think", RNG, Hasher, Redis, "overhead"} }

// Drives says whether the service is one whose replicas loop and visit others.
func (s Settings) Drives() bool { return s.Service == Worker }

// Visits are the hosts that a replica visits in each loop, in their order.
func (s Settings) Visits() (hosts []string) {
	for _, base := range []string{s.RNGURL, s.HasherURL} {
		if u, err := url.Parse(base); err == nil && base != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// Services returns the names of the services, in the order of the work.
func Services() []string { return []string{RNG, Hasher, Worker, WebUI, Gateway} }

// Distribution is how a service's delay varies from request to request.
type Distribution string

// The distributions of a delay d with jitter j.
const (
	Constant    Distribution = "constant"    // d
	Uniform     Distribution = "uniform"     // d-j to d+j
	Exponential Distribution = "exponential" // mean d
	Normal      Distribution = "normal"      // mean d, standard deviation j, cut off at 0
)

// Accept is how a server takes connections.
type Accept string

// The ways to take connections.
const (
	Serial Accept = "serial" // accept one connection, answer one request, close, accept the next: the kernel's queue is the queue
	Pool   Accept = "pool"   // accept every connection; requests wait in one first-in-first-out queue for a slot
)

// BootMode is what a client meets while a service boots.
type BootMode string

// The ways to boot.
const (
	Refuse      BootMode = "refuse" // connections are refused: the port is not listened to
	Unavailable BootMode = "503"    // every request is answered 503
	Hang        BootMode = "hang"   // connections are made and nothing is answered until the boot is over
)

// OnSIGTERM is what a service does when it is told to stop.
type OnSIGTERM string

// The ways to stop.
const (
	Drain  OnSIGTERM = "drain"  // finish what was begun, then exit with status 0
	Exit   OnSIGTERM = "exit"   // exit at once, in the middle of everything
	Ignore OnSIGTERM = "ignore" // carry on, as the originals do, until SIGKILL
)

// Settings is a valid environment of one service. Fields of variables that the service does not have are zero.
type Settings struct {
	Service string // one of Services

	Listen      string // host:port of the service; port 0: any
	AdminListen string // host:port of /healthz and /metrics; port 0: any

	Delay        time.Duration // mean time that the work of a request takes
	Distribution Distribution
	Jitter       time.Duration // Uniform: half the width; Normal: the standard deviation
	Occupancy    time.Duration // server time that every request takes besides its delay
	Intake       time.Duration // Pool: time to take a request in, one after the other; none begins meanwhile

	Concurrency   int // requests served at once; 0: no limit
	Accept        Accept
	QueueLimit    int           // Serial: listen backlog; Pool: connections
	HeaderTimeout time.Duration // to read a request; 0: none
	MaxBytes      int64         // rng: largest answer; hasher: largest body

	Think           time.Duration // the worker's own work in a loop
	Backoff         time.Duration // the worker's wait after an exception
	CallOverhead    time.Duration // client time of an HTTP call
	KeepAlive       bool
	ConnectTimeout  time.Duration // 0: none
	ResponseTimeout time.Duration // 0: none
	RNGURL          string
	HasherURL       string
	Redis           string // host:port

	Upstreams []string // of a gateway: host:port

	BootDelay time.Duration
	BootMode  BootMode
	OnSIGTERM OnSIGTERM

	ErrorRate   float64 // 0..1
	ErrorStatus int

	Replica    string // "": the host's name
	Version    string
	Seed       uint64            // 0: from the replica's name
	Hosts      map[string]string // host:port of the app -> host:port where it is really found
	Supervised bool
}

// TagDefaults returns the variables that an image of a service carries because of its tag, below whatever its
// environment says. The tag is the version that the service reports; worker:v0.01 is the workshop's second release,
// whose think time is 10 ms. An empty tag carries nothing.
func TagDefaults(service, tag string) map[string]string {
	if tag == "" {
		return nil
	}
	defaults := map[string]string{"COIN_VERSION": tag}
	if service == Worker && tag == "v0.01" {
		defaults["COIN_THINK"] = "10ms"
	}
	return defaults
}

// Method is how a request for a service's work is made.
func Method(service string) string {
	if service == Hasher {
		return "POST"
	}
	return "GET"
}
