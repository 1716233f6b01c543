package remote

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"coinbench/history"
	"coinbench/internal/visible"
	"coinbench/loadgen"
)

// merger makes one record of several.
type merger struct {
	rec      loadgen.Recorder
	shares   []loadgen.Workload
	copies   []copyRecord
	next     int // number of the interval that is recorded next
	total    history.LoadEndRecord
	recorded int64 // requests in the intervals that were recorded
	told     int64 // requests that the generators counted
	last     time.Duration
	begin    time.Duration // of the first interval
	gaps     *history.Gaps // nil: no interval was recorded yet
}

type copyRecord struct {
	node      string
	intervals []history.Interval // those that were not recorded yet; the first is number merger.next
	ended     bool
	lost      string                // why; "": it is not
	sum       history.LoadEndRecord // of all its intervals, for one that does not come to its end
}

func newMerger(rec loadgen.Recorder, shares []loadgen.Workload) *merger {
	return &merger{rec: rec, shares: shares, copies: make([]copyRecord, len(shares))}
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
	c.sum.SamplesKept += int64(len(t.Samples))
	if i := t.Interval; i != nil {
		c.intervals = append(c.intervals, *i)
		c.sum.Merge(history.LoadEndRecord{End: i.At + i.Length, Due: i.Due, OK: i.OK, Failed: i.Failed(), ReceivedBytes: i.Received})
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
			m.begin = slices.MinFunc(second, func(a, b history.Interval) int { return cmp.Compare(a.At, b.At) }).At
			m.gaps = history.NewGaps(m.begin)
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
	return m.merge(false)
}

// account says what is lost with generators. What each told of stays. Of an open load the others go on: the record holds what was sent,
// and what is missing. A closed one has fewer clients from then on, which is another experiment; so is nothing but losses.
func (m *merger) account() {
	all := !slices.ContainsFunc(m.copies, func(c copyRecord) bool { return c.lost == "" })
	for i := range m.copies {
		c := &m.copies[i]
		if c.lost == "" {
			continue
		}
		if !c.ended {
			m.told += c.sum.Due
			m.total.Merge(c.sum)
		}
		text := fmt.Sprintf("load generator %d of %d was lost %s", i+1, len(m.copies), c.lost)
		w := m.shares[i]
		schedule, err := loadgen.ParseSchedule(w.Schedule)
		if all || w.Schedule == "" || err != nil {
			m.total.Invalid = append(m.total.Invalid, text)
			continue
		}
		due := int64(math.Round(schedule.Count(max(m.total.Ceased, m.last) - m.begin)))
		if w.Requests > 0 {
			due = min(due, w.Requests)
		}
		missing := max(due-c.sum.Due, 0)
		m.total.Missing += missing
		m.total.Warnings = append(m.total.Warnings, fmt.Sprintf("%s: from %s of the load on, its share of the rate was not sent; about %d of "+
			"its "+
			"%d requests are missing", text, max(c.sum.End-m.begin, 0).Round(100*time.Millisecond), missing, due))
	}
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
	m.account()
	whole := !slices.ContainsFunc(m.copies, func(c copyRecord) bool { return !c.ended && c.lost == "" })
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
