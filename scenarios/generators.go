package scenarios

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/loadgen"
)

// telling is what a generator inside a cluster says: one of the fields.
type telling struct {
	Interval *history.Interval      `json:"interval,omitempty"`
	Samples  []history.Sample       `json:"samples,omitempty"`
	End      *history.LoadEndRecord `json:"end,omitempty"`
	Late     time.Duration          `json:"late,omitempty"` // how long after the agreed instant it began; with End
	Off      time.Duration          `json:"off,omitempty"`  // bound of the error of its clock; with End
}

// Sender is the loadgen.Recorder of a generator inside a cluster: it sends the record as messages.
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

const mostSamples = 2000 // in a message

// Sample keeps a sample for the next message.
func (s *Sender) Sample(x history.Sample) error {
	s.samples = append(s.samples, x)
	if len(s.samples) < mostSamples {
		return nil
	}
	return s.flush()
}

// Interval sends an interval, after the samples that came before it.
func (s *Sender) Interval(i history.Interval) error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.tell(telling{Interval: &i})
}

// End sends what can only be said at the end.
func (s *Sender) End(e history.LoadEndRecord) error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.tell(telling{End: &e, Late: s.late, Off: s.off})
}

func (s *Sender) flush() error {
	if len(s.samples) == 0 {
		return nil
	}
	err := s.tell(telling{Samples: s.samples})
	s.samples = s.samples[:0]
	return err
}

func (s *Sender) tell(t telling) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.send(data)
}

// startDelay is how long after the last generator has come they begin: long enough for all to have heard of it.
const startDelay = 200 * time.Millisecond

// Generators returns a Config.Play that sends load from inside the cluster: by n copies of coinbench, whose records become
// one. Histograms are merged, never percentiles.
func Generators(jobs cluster.Jobs, n int) func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord,
	error) {
	return func(ctx context.Context, w loadgen.Workload, origin time.Time, rec loadgen.Recorder) (history.LoadEndRecord, error) {
		shares, err := w.Split(n)
		if err != nil {
			return history.LoadEndRecord{}, err
		}
		job := cluster.Job{Name: w.Name, Args: []string{"load"}, Origin: origin, Delay: startDelay}
		for _, share := range shares {
			work, err := json.Marshal(share)
			if err != nil {
				return history.LoadEndRecord{}, err
			}
			job.Work = append(job.Work, work)
		}
		m := newMerger(rec, len(shares))
		playing, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		err = jobs.RunJob(playing, job, func(copy int, node string, message []byte) {
			if err := m.take(copy, node, message); err != nil {
				stop(err)
			}
		})
		if cause := context.Cause(playing); cause != nil && ctx.Err() == nil {
			err = cause
		}
		end, merged := m.finish()
		var lost *cluster.JobError
		if errors.As(err, &lost) { // what has come stays, and says so
			end.Invalid = append(end.Invalid, fmt.Sprintf("a load generator was lost %s", lost.Error()))
			err = nil
		}
		return end, errors.Join(err, merged)
	}
}

// merger makes one record of several.
type merger struct {
	rec      loadgen.Recorder
	copies   []copyRecord
	next     int // number of the interval that is recorded next
	total    history.LoadEndRecord
	recorded int64 // requests in the intervals that were recorded
	told     int64 // requests that the generators counted
	last     time.Duration
	gaps     *history.Gaps // nil: no interval was recorded yet
}

type copyRecord struct {
	node      string
	intervals []history.Interval // those that were not recorded yet; the first is number merger.next
	ended     bool
}

func newMerger(rec loadgen.Recorder, copies int) *merger {
	return &merger{rec: rec, copies: make([]copyRecord, copies)}
}

// take adds what a generator has said.
func (m *merger) take(copy int, node string, message []byte) error {
	if copy < 1 || copy > len(m.copies) {
		return fmt.Errorf("generator %d on %s: there are %d", copy, node, len(m.copies))
	}
	c := &m.copies[copy-1]
	c.node = node
	var t telling
	if err := json.Unmarshal(message, &t); err != nil {
		return fmt.Errorf("generator %d on %s: %w", copy, node, err)
	}
	for _, s := range t.Samples {
		s.Seq = s.Seq*int64(len(m.copies)) + int64(copy-1)
		if err := m.rec.Sample(s); err != nil {
			return err
		}
	}
	if t.Interval != nil {
		c.intervals = append(c.intervals, *t.Interval)
	}
	if t.End != nil {
		c.ended = true
		m.end(copy, node, *t.End, t.Late, t.Off)
	}
	return m.merge(false)
}

// merge records every interval that all generators have told, or that no one can tell any more.
func (m *merger) merge(final bool) error {
	for {
		var second []history.Interval
		for i := range m.copies {
			switch c := &m.copies[i]; {
			case len(c.intervals) > 0:
				second = append(second, c.intervals[0])
			case !c.ended && !final:
				return nil
			}
		}
		if len(second) == 0 {
			return nil
		}
		for i := range m.copies {
			if c := &m.copies[i]; len(c.intervals) > 0 {
				c.intervals = c.intervals[1:]
			}
		}
		if m.gaps == nil {
			m.gaps = history.NewGaps(slices.MinFunc(second, func(a, b history.Interval) int { return cmp.Compare(a.At, b.At) }).At)
		}
		var merged history.Interval
		for _, i := range second {
			merged.Merge(i)
		}
		merged.MaxGap = m.gaps.Add(second...)
		m.next++
		m.recorded += merged.Due
		m.last = max(m.last, merged.At+merged.Length)
		if err := m.rec.Interval(merged); err != nil {
			return err
		}
	}
}

// late is how long after the agreed instant a generator may begin without a word.
const lateStart = 50 * time.Millisecond

func (m *merger) end(copy int, node string, e history.LoadEndRecord, late, off time.Duration) {
	t := &m.total
	m.told += e.Due
	who := fmt.Sprintf("generator %d on %s: ", copy, node)
	for _, texts := range [][]string{e.Invalid, e.Warnings} {
		for i := range texts {
			texts[i] = who + texts[i]
		}
	}
	t.Merge(e)
	if late > lateStart {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%sit began %s late", who, late.Round(time.Millisecond)))
	}
	if off > 10*time.Millisecond {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%sits clock is known to %s only", who, off.Round(time.Millisecond)))
	}
}

// finish records what is left and returns the end of all.
func (m *merger) finish() (history.LoadEndRecord, error) {
	err := m.merge(true)
	whole := !slices.ContainsFunc(m.copies, func(c copyRecord) bool { return !c.ended })
	if whole && m.recorded != m.told {
		m.total.Invalid = append(m.total.Invalid, fmt.Sprintf("the generators counted %d requests, and %d came over: the record is not complete",
			m.told, m.recorded))
	}
	m.total.End = max(m.total.End, m.last)
	if m.gaps != nil {
		m.total.MaxGap = m.gaps.End(m.total.Quiet())
	}
	return m.total, err
}
