package history

import (
	"encoding/json"
	"time"
)

// Class says how a request ended. The classes are exhaustive: for every load
// due = OK + each class of failure + Dropped.
type Class string

// The classes of failure, in the order in which a request meets them. OK is the empty class.
const (
	OK               Class = ""
	NameResolution   Class = "name resolution"
	Refused          Class = "refused"
	NoRoute          Class = "no route"
	ConnectTimeout   Class = "connect timeout"
	ConnectFailed    Class = "connect failed"      // any other failure before the connection stood, TLS included
	ResetBeforeByte  Class = "reset before byte"   // the peer closed or reset a new connection before the first byte of the answer
	ResetInBody      Class = "reset in body"       // after the first byte, before the last
	ClosedReused     Class = "closed while reused" // the peer had closed a kept connection: a race that no server error explains
	HeaderTimeout    Class = "header timeout"      // no complete header in time
	BodyTimeout      Class = "body timeout"        // header came, the body did not
	Malformed        Class = "malformed"           // not HTTP
	Unread           Class = "unread coding"       // a legal answer in a transfer coding that net/http does not read
	UnexpectedStatus Class = "unexpected status"   // outside Workload.Expect
	WrongLength      Class = "wrong length"        // differs from the length that was expected
	WrongBody        Class = "wrong body"          // differs from the body that was expected
	NoAnswer         Class = "no answer"           // in flight when the load was stopped, and older than LoadSpec.Patience
	Cancelled        Class = "cancelled"           // in flight when the load was stopped, and younger: nothing is known of it
	Dropped          Class = "dropped"             // due, and never sent: the backlog was full or the load ended first
)

// Classes lists every class of failure, in the order of reports.
func Classes() []Class {
	return []Class{NameResolution, Refused, NoRoute, ConnectTimeout, ConnectFailed, ResetBeforeByte, ResetInBody, ClosedReused,
		HeaderTimeout, BodyTimeout, Malformed, Unread, UnexpectedStatus, WrongLength, WrongBody, NoAnswer, Cancelled, Dropped}
}

// GivenUp says whether a request ended because its answer was waited for no longer: its response time is longer than it was waited for,
// and by how much is not known.
func (c Class) GivenUp() bool {
	switch c {
	case ConnectTimeout, HeaderTimeout, BodyTimeout, NoAnswer, Cancelled, Dropped:
		return true
	}
	return false
}

// DefaultPatience is how old a request that has no answer when its load ends may be and not count as failed, where nothing else is said.
const DefaultPatience = 5 * time.Second

// Sample is one request. Due, Sent and Done are since Manifest.Start.
// Response time = Done - Due, service time = Done - Sent, lag = Sent - Due.
type Sample struct {
	Seq     int64         `json:"seq"`               // 0-based number of the request within its load
	Due     time.Duration `json:"due"`               //
	Sent    time.Duration `json:"sent"`              // zero when dropped
	Connect time.Duration `json:"connect,omitempty"` // time to set the connection up; zero when it was reused
	First   time.Duration `json:"first,omitempty"`   // first byte of the answer
	Done    time.Duration `json:"done"`              //
	Status  int           `json:"status,omitempty"`  // HTTP status; 0: none came
	Bytes   int64         `json:"bytes,omitempty"`   // of the body
	Class   Class         `json:"class,omitempty"`   //
	Error   string        `json:"error,omitempty"`   // what the system said
	Replica string        `json:"replica,omitempty"` // from the answer's X-Coinbench-Replica
	Version string        `json:"version,omitempty"` // from X-Coinbench-Version
}

// Interval is one second (or the rest of one) of a load. A request counts in the interval in which it ended. A second has an interval
// for each Epoch of its requests, of which there are several only where something happened to the service.
// Histograms are in nanoseconds, three significant digits, and merge by addition.
type Interval struct {
	At       time.Duration    // begin, since Manifest.Start
	Length   time.Duration    //
	Due      int64            // requests that ended here: OK + Failures (Dropped among them)
	OK       int64            //
	Failures map[Class]int64  //
	Bytes    int64            // of bodies received
	Received int64            // bytes of whole answers, with their headers; 0: not known
	Replicas map[string]int64 // answered requests by replica
	Versions map[string]int64 // answered requests by version
	Response *Histogram       // of OK requests: done - due
	Service  *Histogram       // of OK requests: done - sent
	GivenUp  *Histogram       // of requests whose class is GivenUp: done - due, which their response time exceeds
	Lag      *Histogram       // of every request that was sent: sent - due
	Late     *Histogram       // the generator's own part of it, of every request: sent - due, or until it began to wait for a connection
	MaxGap   time.Duration    // the longest time without a success that ended here
	Epoch    time.Duration    // the requests fell due at this edge (see Edges) or later; 0: no edge was before them
	Until    time.Duration    // and before this one; 0: none had come yet
	// when requests succeeded, which tells where the gaps of GapResolution and more are; nil: nothing did, or it is not known
	Served   []Span
	LastFail time.Duration // when the last request that failed ended, Cancelled ones left aside; 0: none failed, or it is not known
	Parts    []Part        // what is known of single replicas and versions, by replica and version

	response, givenUp encoded // of an interval of Load.Intervals
	service           encoded // of one whose response times are not known
}

// Part is what became of the requests of an Interval that one replica of one version is known to have had: by its answer, or
// because the request was sent to it alone.
type Part struct {
	Replica  string // "": its answers name the version only
	Version  string // "": they name the replica only
	OK       int64
	Failures map[Class]int64
	Response *Histogram // of OK requests: done - due
}

// LoadSpec says what load was asked for; the words are those of package loadgen's Workload.
type LoadSpec struct {
	Name        string          `json:"name"`
	Step        int             `json:"step,omitempty"`
	Service     string          `json:"service,omitempty"`
	Method      string          `json:"method"`
	URL         string          `json:"url"`
	Closed      bool            `json:"closed"`                 // closed workload: Clients; open workload: Schedule
	Clients     int             `json:"clients,omitempty"`      //
	Schedule    string          `json:"schedule,omitempty"`     // e.g. "constant(500/s)"
	Requests    int64           `json:"requests,omitempty"`     // asked for; 0: until Duration
	Duration    time.Duration   `json:"duration,omitempty"`     //
	Think       time.Duration   `json:"think,omitempty"`        //
	Connections int             `json:"connections,omitempty"`  //
	Reuse       string          `json:"reuse,omitempty"`        // connection policy
	Patience    time.Duration   `json:"patience,omitempty"`     // a request without an answer at the end has failed if it is older
	Begin       time.Duration   `json:"begin"`                  // since Manifest.Start
	Engine      string          `json:"engine,omitempty"`       // what played it; empty: package loadgen itself
	ServiceOnly bool            `json:"service_only,omitempty"` // due instants are not known, so neither are response times nor lag
	ObserveOnly bool            `json:"observe_only,omitempty"` // rollouts and faults are not judged by it, however few its requests
	Workload    json.RawMessage `json:"workload,omitempty"`     // the whole of it, as loadgen wrote it
}

// LoadEndRecord closes a load: what can only be said at its end.
type LoadEndRecord struct {
	End time.Duration `json:"end"` // since Manifest.Start
	// Ceased is the first instant at which no request would have fallen due: when the time that was asked for was over, or the load was
	// stopped before. Zero: a closed load that made all requests that were asked for.
	Ceased     time.Duration `json:"ceased,omitempty"`
	Due        int64         `json:"due"`
	OK         int64         `json:"ok"`
	Failed     int64         `json:"failed"`              // Dropped, NoAnswer and Cancelled included
	InFlight   int64         `json:"in_flight,omitempty"` // when the load was stopped; they are NoAnswer or Cancelled
	Missing    int64         `json:"missing,omitempty"`   // that fell due at a generator after it was lost, about: they are in no other count
	MaxGap     time.Duration `json:"max_gap"`
	Invalid    []string      `json:"invalid,omitempty"`  // why the generator's numbers must not be used, and what to change
	Warnings   []string      `json:"warnings,omitempty"` // what the reader must know
	CPUSeconds float64       `json:"cpu_s,omitempty"`    // the generator's own
	// SamplesKept says how many requests were kept one by one (the first ones); the histograms hold all.
	SamplesKept  int64 `json:"samples_kept"`
	FailuresKept int64 `json:"failures_kept"`

	Server        string `json:"server,omitempty"`         // the software that the first answer named, if any did
	ReceivedBytes int64  `json:"received_bytes,omitempty"` // of all answers with their headers; 0: not known
}
