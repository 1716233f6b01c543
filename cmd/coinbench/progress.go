package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"coinbench/scenarios"
)

// progressPrinter shows how far a run has come: a line that is drawn anew on a terminal, and elsewhere a plain line at
// every step and at most every ten seconds.
type progressPrinter struct {
	w     io.Writer
	width func() int // of the terminal; nil: it is none

	step    int
	printed time.Duration
	drawn   bool
}

func newProgressPrinter(w io.Writer) *progressPrinter {
	p := &progressPrinter{w: w}
	if terminal(w) != nil {
		p.width = func() int { return width(w) }
	}
	return p
}

const plainEvery = 10 * time.Second

func (p *progressPrinter) show(s scenarios.Progress) {
	if p.width != nil {
		p.draw(s)
		return
	}
	if s.Done || s.Step == 0 || s.Title == "" { // no step is under way
		return
	}
	if s.Step == p.step && s.Elapsed-p.printed < plainEvery {
		return
	}
	p.step, p.printed = s.Step, s.Elapsed
	fmt.Fprintf(p.w, "%6s  step %s  %s%s\n", clock(s.Elapsed), number(s), s.Title, details(s, s.Left > 0))
}

func (p *progressPrinter) draw(s scenarios.Progress) {
	if s.Done {
		p.clear()
		return
	}
	if s.Steps == 0 {
		p.redraw([]rune(fmt.Sprintf("%s  step %s  %s%s", clock(s.Elapsed), number(s), s.Title, details(s, false))))
		return
	}
	const cells = 24
	full := min(int(s.Fraction*cells), cells)
	bar := strings.Repeat("█", full) + strings.Repeat("░", cells-full)
	line := []rune(fmt.Sprintf("%s %3.0f%%  %s %s%s", bar, s.Fraction*100, number(s), s.Title, details(s, true)))
	p.redraw(line)
}

// number is that of the step in force, of all if they are known.
func number(s scenarios.Progress) string {
	if s.Steps == 0 {
		return fmt.Sprint(s.Step)
	}
	return fmt.Sprintf("%d/%d", s.Step, s.Steps)
}

// redraw puts a line in the place of the one before, as much of it as fits.
func (p *progressPrinter) redraw(line []rune) {
	if room := p.width() - 1; len(line) > room {
		line = append(line[:room-1], '…')
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", string(line))
	p.drawn = true
}

// clear removes the line, so that what comes next starts on a clean one.
func (p *progressPrinter) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// details are what is happening, the hash rate and the time left.
func details(s scenarios.Progress, left bool) string {
	var b strings.Builder
	if s.Doing != "" {
		fmt.Fprintf(&b, ": %s", s.Doing)
	}
	if s.Rated {
		fmt.Fprintf(&b, "  ·  %.1f hashes/s", s.HashRate)
	}
	if left {
		fmt.Fprintf(&b, "  ·  %s left", clock(s.Left))
	}
	return b.String()
}

// clock is a duration as m:ss.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
