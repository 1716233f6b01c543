package remote

import (
	"encoding/json"
	"time"

	"coinbench/history"
)

// generatorMessage is what a generator says: one of the fields.
type generatorMessage struct {
	Interval *history.Interval      `json:"interval,omitempty"`
	Samples  []history.Sample       `json:"samples,omitempty"`
	End      *history.LoadEndRecord `json:"end,omitempty"`
	Late     time.Duration          `json:"late,omitempty"` // how long after the agreed instant it began; with End
	Off      time.Duration          `json:"off,omitempty"`  // bound of the error of its clock; with End
}

// Sender is the loadgen.Recorder of a generator elsewhere: it sends the record as messages.
type Sender struct {
	send      func([]byte) error
	late, off time.Duration
	samples   []history.Sample
}

// NewSender sends messages by send. late is how long after the agreed instant the load begins, off bounds the error of the
// generator's clock against the harness's.
func NewSender(send func([]byte) error, late, off time.Duration) *Sender {
	return &Sender{send: send, late: late, off: off}
}

const maxSamples = 2000 // in a message

// Sample keeps a sample for the next message.
func (s *Sender) Sample(x history.Sample) error {
	s.samples = append(s.samples, x)
	if len(s.samples) < maxSamples {
		return nil
	}
	return s.flush()
}

// Interval sends an interval, after the samples that came before it.
func (s *Sender) Interval(i history.Interval) error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.message(generatorMessage{Interval: &i})
}

// End sends what can only be said at the end.
func (s *Sender) End(e history.LoadEndRecord) error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.message(generatorMessage{End: &e, Late: s.late, Off: s.off})
}

func (s *Sender) flush() error {
	if len(s.samples) == 0 {
		return nil
	}
	err := s.message(generatorMessage{Samples: s.samples})
	s.samples = s.samples[:0]
	return err
}

func (s *Sender) message(t generatorMessage) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.send(data)
}
