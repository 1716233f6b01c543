// Package loadgen sends load and records every request: closed workloads (N clients, each sending its next request
// when the last one ended) and open ones (a Schedule says when request n is due, whatever the server does).
//
// A Workload enters; per-second history.Intervals and single history.Samples leave through a Recorder, and a
// history.LoadEndRecord at the end, which says whether the generator itself kept up. The package judges no server and
// draws nothing; it sends only where the caller's Workload says.
package loadgen

import (
	"net/http"
	"time"

	"coinbench/history"
)

// Workload is a load, as plain data: it can be written as JSON, sent to another machine and run there.
type Workload struct {
	Name    string   `json:"name"`
	Engine  string   `json:"engine,omitempty"` // what plays it; empty: this package; Vegeta: vegeta's attacker, for open workloads
	Targets []Target `json:"targets"`          // used in turn: request n goes to Targets[n % len]

	// Exactly one of Clients (closed) and Schedule (open) is set.
	Clients  int           `json:"clients,omitempty"`
	Think    time.Duration `json:"think,omitempty"`    // closed: pause of each client between an answer and its next request
	Schedule string        `json:"schedule,omitempty"` // open: e.g. "500/s", "ramp(0/s, 500/s, 30s)"; see ParseSchedule

	// The load ends when Requests were made or Duration has passed, whichever is first; one of them must be set.
	Requests int64         `json:"requests,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	// Grace is how long after Duration requests that are waiting or in flight may still end; then those in flight are
	// cancelled and those waiting dropped. 0: 10 s; negative: none.
	Grace time.Duration `json:"grace,omitempty"`
	// Patience is how old a request without an answer may be when the load ends, however that comes: an older one has failed
	// (history.NoAnswer), of a younger one nothing is known (history.Cancelled). 0: history.DefaultPatience.
	Patience time.Duration `json:"patience,omitempty"`

	Connections int `json:"connections,omitempty"` // open: most connections at once; 0: 10,000
	// open: most requests that wait for a connection; beyond it they are dropped; 0: no limit but the duration's own count
	Backlog     int       `json:"backlog,omitempty"`
	Reuse       Reuse     `json:"reuse"` // when a connection is given up
	Timeouts    Timeouts  `json:"timeouts"`
	Expect      Expect    `json:"expect"`
	Transport   Transport `json:"transport"`
	Seed        uint64    `json:"seed,omitempty"`
	ObserveOnly bool      `json:"observe_only,omitempty"` // rollouts and faults are not judged by it

	MaxSamples  int64 `json:"max_samples,omitempty"`  // requests kept one by one; 0: 100,000; negative: none
	MaxFailures int64 `json:"max_failures,omitempty"` // failures kept one by one beyond MaxSamples; 0: 10,000
}

// Target is one request.
type Target struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`

	BodyBytes int `json:"body_bytes,omitempty"` // of a record, which keeps the length of the body only
}

// Reuse is the connection policy. The zero value keeps a connection as long as the server does.
type Reuse struct {
	PerRequest  bool          `json:"per_request,omitempty"`  // a new connection for each request, as ab does without -k
	MaxRequests int           `json:"max_requests,omitempty"` // most requests on a connection; 0: no limit
	MaxAge      time.Duration `json:"max_age,omitempty"`      // 0: no limit
	PinDNS      bool          `json:"pin_dns,omitempty"`      // resolve once, at the start; otherwise once a connection
}

// Transport asks for more than HTTP/1.1: HTTP/2, redirects and proxies go through net/http instead of our own code.
// Proxies that the environment names are never used.
type Transport struct {
	HTTP2     bool   `json:"http2,omitempty"`     // over TLS, when the server offers it; in the clear, with prior knowledge
	Redirects int    `json:"redirects,omitempty"` // most that are followed; 0: a redirect is an answer
	Proxy     string `json:"proxy,omitempty"`     // URL of an HTTP or SOCKS5 proxy
	Insecure  bool   `json:"insecure,omitempty"`  // accept any certificate
}

// viaNetHTTP tells whether net/http has to play the load.
func (t Transport) viaNetHTTP() bool { return t.HTTP2 || t.Redirects > 0 || t.Proxy != "" }

// Timeouts; zero means none.
type Timeouts struct {
	Connect time.Duration `json:"connect,omitempty"`
	Header  time.Duration `json:"header,omitempty"` // from sent to the end of the header
	Body    time.Duration `json:"body,omitempty"`   // from the end of the header to the last byte
}

// Expect says what a good answer is; zero fields: any status below 400, any length, any body.
type Expect struct {
	Status []int  `json:"status,omitempty"`
	Length int64  `json:"length,omitempty"`
	Body   []byte `json:"body,omitempty"`
}

// Recorder takes the record of a load. Its methods are called from one goroutine, in order, outside the hot path.
type Recorder interface {
	Interval(history.Interval) error
	Sample(history.Sample) error // the first MaxSamples requests, and failures up to MaxFailures beyond
}

// Edged is a Recorder that knows at which instants something happens to the service: requests are counted apart by them.
type Edged interface {
	Edges() *history.Edges
}
