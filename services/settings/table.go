package settings

import (
	"slices"
	"time"
)

// Prefix begins the name of every variable.
const Prefix = "COIN_"

// Kind is the type of a variable's value.
type Kind string

// The kinds of values.
const (
	KindAddress  Kind = "address"
	KindBool     Kind = "bool"
	KindDuration Kind = "duration"
	KindEnum     Kind = "enum"
	KindHosts    Kind = "hosts"
	KindList     Kind = "list"
	KindInteger  Kind = "integer"
	KindRatio    Kind = "ratio"
	KindSize     Kind = "size"
	KindText     Kind = "text"
	KindURL      Kind = "url"
)

// Variable describes one environment variable.
type Variable struct {
	Name     string            // with its prefix
	Services []string          // that have it, in the order of Services
	Default  string            // unless Defaults knows better
	Defaults map[string]string // by service, where it differs from Default
	Kind     Kind
	Accepted string // the accepted values, to follow "accepted: "
	Doc      string // one sentence or two

	parse func(*Settings, string) error // an error is the problem alone: "not a duration"
}

// DefaultFor returns the value that the variable has in a service when nothing sets it.
func (v Variable) DefaultFor(service string) string {
	if d, ok := v.Defaults[service]; ok {
		return d
	}
	return v.Default
}

// Has says whether a service has the variable.
func (v Variable) Has(service string) bool { return slices.Contains(v.Services, service) }

// Variables returns the variables of a service, or of all services for "", in the order of the documentation. An
// unknown service has none.
func Variables(service string) []Variable {
	all := table()
	if service == "" {
		return all
	}
	return slices.DeleteFunc(all, func(v Variable) bool { return !v.Has(service) })
}

const (
	acceptedDuration = "a duration such as 100ms, at least 0s"
	acceptedAddress  = "host:port or :port, with port 0 for any free one"
)

func table() []Variable {
	all := Services()
	servers := []string{RNG, Hasher, WebUI}
	worker := []string{Worker}
	listeners := append(slices.Clone(servers), Gateway)
	callers := []string{Worker, Gateway}

	return []Variable{
		{Name: "COIN_LISTEN", Services: listeners, Default: ":80", Kind: KindAddress, Accepted: acceptedAddress,
			Doc:   "Address of the service.",
			parse: listen(func(s *Settings) *string { return &s.Listen })},
		{Name: "COIN_ADMIN_LISTEN", Services: all, Default: ":8081", Kind: KindAddress, Accepted: acceptedAddress,
			Doc:   "Address of `/healthz` and `/metrics`: a port of its own, because a probe of a serial server would queue behind its work.",
			parse: listen(func(s *Settings) *string { return &s.AdminListen })},

		{Name: "COIN_DELAY", Services: servers, Default: "100ms", Defaults: map[string]string{WebUI: "0s"}, Kind: KindDuration,
			Accepted: acceptedDuration,
			Doc: "Time that the work of a request takes: rng's bytes, hasher's hash, webui's JSON. `GET /` of rng and hasher and every error " +
				"are spared it.",
			parse: duration(func(s *Settings) *time.Duration { return &s.Delay })},
		{Name: "COIN_DELAY_DISTRIBUTION", Services: servers, Default: string(Constant), Kind: KindEnum,
			Accepted: "constant, uniform, exponential or normal",
			Doc:      "How the delay varies. `exponential` has the delay as its mean; `uniform` and `normal` need a jitter.",
			parse:    enum(func(s *Settings) *Distribution { return &s.Distribution }, Constant, Uniform, Exponential, Normal)},
		{Name: "COIN_DELAY_JITTER", Services: servers, Default: "0s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc:   "`uniform`: half the width; `normal`: the standard deviation (a delay is never negative). The other distributions have none.",
			parse: duration(func(s *Settings) *time.Duration { return &s.Jitter })},
		{Name: "COIN_OCCUPANCY", Services: servers, Default: "0s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc: "Server time that every request takes besides its delay, `GET /` included: what the originals' frameworks cost (about 7ms in " +
				"rng, 5ms in hasher).",
			parse: duration(func(s *Settings) *time.Duration { return &s.Occupancy })},
		{Name: "COIN_INTAKE", Services: []string{Hasher, WebUI}, Default: "0s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc: "Time to take a request in. Requests are taken in one after the other, and while there is one to take in, none begins: what a " +
				"reactor of one thread costs when many come at once (about 0.6ms in hasher).",
			parse: duration(func(s *Settings) *time.Duration { return &s.Intake })},
		{Name: "COIN_CONCURRENCY", Services: listeners, Default: "1", Defaults: map[string]string{Hasher: "20", WebUI: "0", Gateway: "0"},
			Kind: KindInteger, Accepted: "a whole number from 0 (no limit) to 100000",
			Doc:   "Requests served at once, `GET /` included. With `COIN_ACCEPT=serial` it can only be 1.",
			parse: integer(func(s *Settings) *int { return &s.Concurrency }, 0, 100000)},
		{Name: "COIN_ACCEPT", Services: servers, Default: string(Pool), Defaults: map[string]string{RNG: string(Serial)}, Kind: KindEnum,
			Accepted: "serial or pool",
			Doc: "`serial`: accept one connection, answer one request in HTTP/1.0, close, accept the next; the kernel's queue is the queue. " +
				"`pool`: accept every connection, let requests wait in one first-in-first-out queue for a slot.",
			parse: enum(func(s *Settings) *Accept { return &s.Accept }, Serial, Pool)},
		{Name: "COIN_QUEUE_LIMIT", Services: listeners, Default: "1024", Defaults: map[string]string{RNG: "128"}, Kind: KindInteger,
			Accepted: "a whole number from 1 to 65535",
			Doc: "`serial`: the listen backlog (the kernel may lower it to its somaxconn). `pool`: connections at once; further ones wait in " +
				"the kernel.",
			parse: integer(func(s *Settings) *int { return &s.QueueLimit }, 1, 65535)},
		{Name: "COIN_HEADER_TIMEOUT", Services: listeners, Default: "10s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc: "Longest time that a client may take to send its request, or to take in a piece of its answer. 0s: no limit, as in the " +
				"originals, where a silent client blocks rng for ever.",
			parse: duration(func(s *Settings) *time.Duration { return &s.HeaderTimeout })},
		{Name: "COIN_MAX_BYTES", Services: []string{RNG, Hasher}, Default: "32MiB", Defaults: map[string]string{Hasher: "1MiB"}, Kind: KindSize,
			Accepted: "a size such as 65536, 64KiB or 1MiB, from 1 to 1GiB",
			Doc:      "rng: the largest answer (a longer one is a 400). hasher: the largest body (a longer one is a 413).",
			parse:    size(func(s *Settings) *int64 { return &s.MaxBytes })},
		{Name: "COIN_ERROR_RATE", Services: servers, Default: "0", Kind: KindRatio, Accepted: "a number from 0 to 1",
			Doc: "Share of the requests that are answered with `COIN_ERROR_STATUS` instead, at once: without the delay, though not without " +
				"the occupancy.",
			parse: ratio(func(s *Settings) *float64 { return &s.ErrorRate })},
		{Name: "COIN_ERROR_STATUS", Services: servers, Default: "500", Kind: KindInteger, Accepted: "a status from 400 to 599",
			Doc:   "Status of an injected error.",
			parse: status(func(s *Settings) *int { return &s.ErrorStatus })},

		{Name: "COIN_THINK", Services: worker, Default: "100ms", Kind: KindDuration, Accepted: acceptedDuration,
			Doc:   "The worker's own work in each loop.",
			parse: duration(func(s *Settings) *time.Duration { return &s.Think })},
		{Name: "COIN_BACKOFF", Services: worker, Default: "10s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc: "The worker's silence after an exception: a connection that failed, a name that did not resolve, a Redis that went away. A " +
				"status of 400 and more is not one.",
			parse: duration(func(s *Settings) *time.Duration { return &s.Backoff })},
		{Name: "COIN_CALL_OVERHEAD", Services: worker, Default: "0s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc:   "Client time of each HTTP call: what the original's library cost (about 3ms).",
			parse: duration(func(s *Settings) *time.Duration { return &s.CallOverhead })},
		{Name: "COIN_KEEP_ALIVE", Services: worker, Default: "false", Kind: KindBool, Accepted: "true or false",
			Doc:   "Keep connections between calls. A kept connection pins the worker to one replica; the original opens a new one for each call.",
			parse: boolean(func(s *Settings) *bool { return &s.KeepAlive })},
		{Name: "COIN_CONNECT_TIMEOUT", Services: callers, Default: "0s", Defaults: map[string]string{Gateway: "1s"}, Kind: KindDuration,
			Accepted: acceptedDuration,
			Doc:      "Longest time for a name to resolve and a connection to be made. 0s: no limit, as in the original.",
			parse:    duration(func(s *Settings) *time.Duration { return &s.ConnectTimeout })},
		{Name: "COIN_RESPONSE_TIMEOUT", Services: callers, Default: "0s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc:   "Longest time for a whole HTTP call, from its connection to the last byte of its answer. 0s: no limit, as in the original.",
			parse: duration(func(s *Settings) *time.Duration { return &s.ResponseTimeout })},
		{Name: "COIN_RNG_URL", Services: worker, Default: "http://rng", Kind: KindURL,
			Accepted: "a URL such as http://rng or http://127.0.0.1:8001",
			Doc:      "Where rng is.",
			parse:    base(func(s *Settings) *string { return &s.RNGURL })},
		{Name: "COIN_HASHER_URL", Services: worker, Default: "http://hasher", Kind: KindURL,
			Accepted: "a URL such as http://hasher or http://127.0.0.1:8002",
			Doc:      "Where hasher is.",
			parse:    base(func(s *Settings) *string { return &s.HasherURL })},
		{Name: "COIN_REDIS", Services: []string{Worker, WebUI}, Default: "redis:6379", Kind: KindAddress, Accepted: "host:port",
			Doc:   "Where Redis is.",
			parse: dial(func(s *Settings) *string { return &s.Redis })},

		{Name: "COIN_UPSTREAM", Services: []string{Gateway}, Default: "hasher:80", Kind: KindList,
			Accepted: "a list such as hasher-blue:80,hasher-green:80",
			Doc: "What the gateway stands in front of. The first that has an address is in force until `PUT /upstream` on the admin port puts " +
				"another one; only those of the list are accepted.",
			parse: addresses(func(s *Settings) *[]string { return &s.Upstreams })},

		{Name: "COIN_BOOT_DELAY", Services: all, Default: "0s", Kind: KindDuration, Accepted: acceptedDuration,
			Doc:   "Time from the start of the process until the service is ready. `/healthz` says 503 until then, and the worker does not begin.",
			parse: duration(func(s *Settings) *time.Duration { return &s.BootDelay })},
		{Name: "COIN_BOOT_MODE", Services: listeners, Default: string(Refuse), Kind: KindEnum, Accepted: "refuse, 503 or hang",
			Doc: "What a client meets during the boot: a refused connection, an answer 503, or a connection that is made and not answered " +
				"until the boot is over.",
			parse: enum(func(s *Settings) *BootMode { return &s.BootMode }, Refuse, Unavailable, Hang)},
		{Name: "COIN_ON_SIGTERM", Services: all, Default: string(Drain), Kind: KindEnum, Accepted: "drain, exit or ignore",
			Doc: "`drain`: finish what was begun, then exit. `exit`: exit at once, in the middle of a request. `ignore`: carry on until " +
				"SIGKILL, as rng, worker and webui of the workshop do.",
			parse: enum(func(s *Settings) *OnSIGTERM { return &s.OnSIGTERM }, Drain, Exit, Ignore)},

		{Name: "COIN_REPLICA", Services: all, Default: "", Kind: KindText, Accepted: "up to 128 printable characters without spaces",
			Doc:   "Name of the replica, in the header `X-Coinbench-Replica` and in the body of `GET /`. Empty: the host's name.",
			parse: text(func(s *Settings) *string { return &s.Replica })},
		{Name: "COIN_VERSION", Services: all, Default: "v0.1", Kind: KindText, Accepted: "up to 128 printable characters without spaces",
			Doc:   "Version of the service, in the header `X-Coinbench-Version`. An image's tag sets it.",
			parse: text(func(s *Settings) *string { return &s.Version })},
		{Name: "COIN_SEED", Services: servers, Default: "0", Kind: KindInteger, Accepted: "a whole number, at least 0",
			Doc: "Seed of the varying delays and the injected errors. 0: from the replica's name, so that replicas differ and a repeated run " +
				"does not.",
			parse: seed(func(s *Settings) *uint64 { return &s.Seed })},
		{Name: "COIN_HOSTS", Services: all, Default: "", Kind: KindHosts, Accepted: "a list such as " +
			"rng:80=127.0.0.1:4001,redis:6379=127.0.0.1:4002",
			Doc:   "Where addresses of the app are really found; asked before DNS. For a cluster without name service.",
			parse: hosts(func(s *Settings) *map[string]string { return &s.Hosts })},
		{Name: "COIN_SUPERVISED", Services: all, Default: "false", Kind: KindBool, Accepted: "true or false",
			Doc: "Announce the bound addresses on file descriptor 3 as one line of JSON, `{\"listen\":\"…\",\"admin\":\"…\"}`, and exit at " +
				"once when standard input ends: a replica never outlives its supervisor.",
			parse: boolean(func(s *Settings) *bool { return &s.Supervised })},
	}
}
