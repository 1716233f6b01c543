package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"coinbench/live"
	"coinbench/live/frame"
	"coinbench/scenarios"
)

// progressLines shows how far a run has come where nothing stays in place: a line at every step, and at most every ten seconds.
type progressLines struct {
	w       io.Writer
	step    int
	printed time.Duration
}

const plainEvery = 10 * time.Second

func (p *progressLines) show(s scenarios.Progress) {
	if s.Done || s.Step == 0 || s.Title == "" { // no step is under way
		return
	}
	if s.Step == p.step && s.Elapsed-p.printed < plainEvery {
		return
	}
	p.step, p.printed = s.Step, s.Elapsed
	line := fmt.Sprintf("%6s  step %s  %s", clock(s.Elapsed), number(s), doing(s))
	if s.Rated {
		line += fmt.Sprintf("  ·  %.1f hashes/s", s.HashRate)
	}
	if s.Left > 0 {
		line += fmt.Sprintf("  ·  %s left", clock(s.Left))
	}
	fmt.Fprintln(p.w, line)
}

// runFrame shows a run on a screen: how far it has come, and the frame of its live page.
type runFrame struct {
	screen *screen
	mask   func(string) string

	mu       sync.Mutex // never held while something is drawn: a terminal that takes nothing holds up no run
	progress scenarios.Progress
}

// firstFrame is when a run's frame is shown: one that has ended by then, as most do in virtual time, needs none.
const firstFrame = time.Second

// showRun shows a run that is being recorded in a folder: as the frame of feed, or one of its own, on a terminal, and in plain lines
// elsewhere. tell is to be told how far it has come, end when that is all.
func showRun(p process, dir string, feed *live.Feed) (tell func(scenarios.Progress), end func()) {
	r := &runFrame{screen: screenOf(p.stderr), mask: p.secrets.Mask}
	if r.screen == nil {
		return (&progressLines{w: p.stderr}).show, func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	if feed == nil {
		own, err := live.Open(dir, judgement(p))
		if err != nil {
			stop()
			return (&progressLines{w: p.stderr}).show, func() {} // the run is what matters
		}
		feed = own
		following.Go(func() { feed.Follow(ctx) })
	}
	following.Go(func() { r.follow(ctx, feed) })
	return r.tell, func() {
		stop()
		following.Wait()
		r.screen.clear()
	}
}

func (r *runFrame) tell(s scenarios.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = s
}

// follow draws each frame, and the latest one anew when the terminal's size changes, until the context is done.
func (r *runFrame) follow(ctx context.Context, feed *live.Feed) {
	changed, stop := resizes()
	defer stop()
	first := time.NewTimer(firstFrame)
	defer first.Stop()
	select {
	case <-ctx.Done():
		return
	case <-first.C:
	}
	for {
		columns, _ := r.screen.size()
		f, recent, more := feed.Latest(columns)
		r.mu.Lock()
		s := r.progress
		r.mu.Unlock()
		lines := frameLines(s, f, recent, columns-1)
		for i := range lines {
			lines[i] = r.mask(lines[i])
		}
		r.screen.show(lines)
		select {
		case <-ctx.Done():
			return
		case <-more:
		case <-changed:
		}
	}
}

// frameLines are what is shown on a terminal with so many columns.
func frameLines(s scenarios.Progress, f frame.Frame, recent []frame.Point, columns int) []string {
	var first string
	if s.Steps == 0 {
		first = clock(s.Elapsed)
		if s.Step > 0 {
			first += fmt.Sprintf("  step %s  %s", number(s), doing(s))
		}
	} else {
		cells := min(columns/4, 24)
		full := min(int(s.Fraction*float64(cells)), cells)
		first = fmt.Sprintf("%s%s %2.0f%%  %s left  %s %s", strings.Repeat("█", full), strings.Repeat("░", cells-full), s.Fraction*100,
			clock(s.Left), number(s), doing(s))
	}
	return append([]string{frame.Cut(first, columns)}, f.Text(recent, columns)...)
}

// number is that of the step in force, of all if they are known.
func number(s scenarios.Progress) string {
	if s.Steps == 0 {
		return fmt.Sprint(s.Step)
	}
	return fmt.Sprintf("%d/%d", s.Step, s.Steps)
}

// doing is the step in force, and what is happening within it.
func doing(s scenarios.Progress) string {
	if s.Doing == "" {
		return s.Title
	}
	return s.Title + ": " + s.Doing
}

// clock is a duration as m:ss.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
