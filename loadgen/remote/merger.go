package remote

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"coinbench/history"
	"coinbench/internal/visible"
	"coinbench/loadgen"
)

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
	lost      string // why; "": it is not
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
	var t generatorMessage
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
			case !c.ended && c.lost == "" && !final:
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

// lose notes that nothing more will come of a generator.
func (m *merger) lose(copy int, why string) error {
	m.copies[copy-1].lost = why
	m.total.Invalid = append(m.total.Invalid, fmt.Sprintf("load generator %d of %d was lost %s", copy, len(m.copies), why))
	return m.merge(false)
}

// lateStart is how long after the agreed instant a generator may begin without a word.
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
		t.Warnings = append(t.Warnings, fmt.Sprintf("%sit began %s late", who, visible.Seconds(late.Seconds())))
	}
	if off > 10*time.Millisecond {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%sits clock is known to %s only", who, visible.Seconds(off.Seconds())))
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
