package attached

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"coinbench/cluster"
	"coinbench/history"
)

// call is what a method is asked with; each uses its own fields.
type call struct {
	App      *cluster.App    `json:",omitempty"`
	Service  string          `json:",omitempty"`
	Replicas int             `json:",omitempty"`
	Change   *cluster.Change `json:",omitempty"`
	Slot     int             `json:",omitempty"`
	Fault    *cluster.Fault  `json:",omitempty"`
	Delay    time.Duration   `json:",omitempty"`
	For      time.Duration   `json:",omitempty"`
}

// answer is what a method answers.
type answer struct {
	Error    *fault                  `json:",omitempty"`
	Events   int64                   // the number of the last event that happened before
	Info     *Info                   `json:",omitempty"`
	App      *cluster.App            `json:",omitempty"`
	Services []cluster.ServiceStatus `json:",omitempty"`
	Address  string                  `json:",omitempty"`
	Readings []reading               `json:",omitempty"`
}

// Info is who keeps the app up, and what is happening there.
type Info struct {
	Cluster    string             // its name
	App        string             // "": nothing is deployed
	PID        int                // of the process
	Since      time.Time          // the process runs
	Dir        string             // where it keeps its logs
	Coinbench  string             // its version
	Strategies []cluster.Strategy `json:",omitempty"`
	Changes    []InProgress       `json:",omitempty"` // oldest first
}

// InProgress is a change that has not ended.
type InProgress struct {
	What    string // such as scale rng to 3
	Service string // "": all of them, of a deployment
	Since   time.Time
	Waiting bool // for the one before it, since then; false: it has begun
}

// reading is a history.Reading whose instant both processes understand, though their clocks count from different instants, and even when
// somebody sets the machine's.
type reading struct {
	Age     time.Duration // when it was sent
	Service string
	Task    string
	Values  history.Values
}

// eventLine is a line of the stream of events.
type eventLine struct {
	Number int64
	Event  *history.Event `json:",omitempty"` // nil: of the first line, which says that the stream begins after Number
	Missed int64          `json:",omitempty"` // events that were not sent, because the reader was too slow
}

// fault is an error on its way.
type fault struct {
	Text    string
	Kind    string                `json:",omitempty"` // one of kinds
	Rollout *cluster.RolloutError `json:",omitempty"`
	Compose *cluster.ComposeError `json:",omitempty"`
}

// kinds are the errors that callers tell apart.
func kinds() map[string]error {
	return map[string]error{
		"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "timeout": os.ErrDeadlineExceeded,
		"unsupported": errors.ErrUnsupported,
	}
}

func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Text: err.Error()}
	if slow := net.Error(nil); errors.As(err, &slow) && slow.Timeout() {
		f.Kind = "timeout"
	}
	for name, kind := range kinds() {
		if errors.Is(err, kind) {
			f.Kind = name
		}
	}
	errors.As(err, &f.Rollout)
	errors.As(err, &f.Compose)
	return f
}

// err is the error as it was, for those who read it and those who ask what it is.
func (f *fault) err() error {
	switch {
	case f == nil:
		return nil
	case f.Rollout != nil:
		return &sentError{f.Text, f.Rollout}
	case f.Compose != nil:
		return &sentError{f.Text, f.Compose}
	}
	return &sentError{f.Text, kinds()[f.Kind]}
}

// sentError has the text of an error of another process.
type sentError struct {
	text string
	is   error // nil: nothing that is told apart
}

// Error is the text.
func (e *sentError) Error() string { return e.text }

// Unwrap is what the error is.
func (e *sentError) Unwrap() error { return e.is }
