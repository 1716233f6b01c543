package main

import (
	"fmt"
	"io"
	"time"

	"coinbench/capacity"
	"coinbench/history"
)

// liveLine shows a load while it runs, as its Recorder: on a terminal a line that is drawn anew every second, elsewhere a
// plain line after the first second and then every ten.
type liveLine struct {
	w       io.Writer
	screen  *screen // nil: plain lines
	begun   bool
	printed time.Duration
	shown   time.Duration // end of the interval shown last
}

func newLiveLine(w io.Writer) *liveLine { return &liveLine{w: w, screen: screenOf(w)} }

// Interval shows a second of the load.
func (l *liveLine) Interval(i history.Interval) error {
	end := i.At + i.Length
	if i.Length < 100*time.Millisecond && l.begun { // the rest of a second says little
		return nil
	}
	text := liveText(i)
	switch {
	case l.screen != nil:
		l.screen.show([]string{text})
	case !l.begun || end-l.printed >= plainEvery:
		fmt.Fprintln(l.w, text)
		l.printed = end
	}
	l.begun, l.shown = true, end
	return nil
}

// clear removes the line, so that what comes next starts on a clean one.
func (l *liveLine) clear() {
	if l.screen != nil {
		l.screen.clear()
	}
}

// Sample shows nothing.
func (l *liveLine) Sample(history.Sample) error { return nil }

// liveText is one second in a line: the rate of good answers, what they took, and what failed.
func liveText(i history.Interval) string {
	rate := 0.0
	if i.Length > 0 {
		rate = float64(i.OK) / i.Length.Seconds()
	}
	text := fmt.Sprintf("%6s  %9.1f ok/s  p50 %8s  p99 %8s", clock(i.At+i.Length), rate, percentileText(i.Response, 50),
		percentileText(i.Response, 99))
	if failed := i.Failed(); failed > 0 {
		text += fmt.Sprintf("  %d failed", failed)
		for _, c := range history.Classes() {
			if n := i.Failures[c]; n > 0 {
				text += fmt.Sprintf(" (%s %d)", c, n)
				break
			}
		}
	}
	return text
}

func percentileText(h *history.Histogram, p float64) string {
	if h == nil || h.TotalCount() == 0 {
		return "–"
	}
	return capacity.FormatSeconds(time.Duration(h.ValueAtPercentile(p)).Seconds())
}
