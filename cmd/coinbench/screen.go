package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"coinbench/internal/visible"
	"coinbench/live/frame"
)

// screen is a terminal on which a few lines stay in place; what is printed meanwhile comes above them.
//
// Between two writes the cursor is at the start of the first of these lines, so all from there on is theirs, whatever a terminal that has
// become narrower made of them. Nothing else of the terminal is different meanwhile: there is nothing to be restored when the process ends.
type screen struct {
	io.Writer
	size       func() (columns, rows int)
	foreground func() bool // whether the terminal is ours, and not another job's

	mu    sync.Mutex
	lines []string // in place; none: the cursor is where it was left
}

// newScreen is standard error, as a screen if it is a terminal on which lines can stay in place and somebody looks at them.
func newScreen(f *os.File, env func(string) (string, bool)) io.Writer {
	kind, _ := env("TERM")
	ci, _ := env("CI")
	if !term.IsTerminal(int(f.Fd())) || kind == "dumb" || ci != "" && ci != "false" {
		return f
	}
	return &screen{Writer: f, foreground: func() bool { return inForeground(f) }, size: func() (columns, rows int) {
		if _, rows, _ = term.GetSize(int(f.Fd())); rows <= 0 {
			rows = 24
		}
		return width(f), rows
	}}
}

// screenOf is the screen behind a stream, or nil.
func screenOf(w io.Writer) *screen {
	switch v := w.(type) {
	case messages:
		return screenOf(v.Writer)
	case *screen:
		return v
	}
	return nil
}

// The lines are written in one piece, without a wrap at the right edge: characters may be wider than we think.
const (
	eraseBelow = "\r\x1b[J"
	noWrap     = "\x1b[?7l"
	wrap       = "\x1b[?7h"
)

// show puts lines in the place of those before, as many and as much of them as have room.
func (s *screen) show(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.foreground() {
		s.lines = nil
		return
	}
	s.lines = lines
	_, _ = io.WriteString(s.Writer, s.drawing())
}

// drawing draws the lines from the cursor on, and leaves it where it is. s.mu is held.
func (s *screen) drawing() string {
	columns, rows := s.size()
	lines := s.lines[:min(len(s.lines), max(1, rows-1))]
	if len(lines) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(noWrap)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("\r" + frame.Cut(visible.Text(line, visible.Nothing), columns-1) + "\x1b[K")
	}
	b.WriteString("\x1b[J\r")
	if up := len(lines) - 1; up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString(wrap)
	return b.String()
}

// clear removes the lines.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *screen) erase() {
	if len(s.lines) > 0 && s.foreground() {
		_, _ = io.WriteString(s.Writer, eraseBelow)
	}
	s.lines = nil
}

// abandon removes the lines for good, unless something is being written.
func (s *screen) abandon() {
	if s.mu.TryLock() { // and keeps the lock: nothing is drawn any more
		s.erase()
	}
}

// Write prints above the lines.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 || !s.foreground() {
		s.lines = nil
		return s.Writer.Write(p)
	}
	text := eraseBelow + string(p)
	if strings.HasSuffix(text, "\n") {
		text += s.drawing()
	} else { // they come back with the next ones
		s.lines = nil
	}
	_, err := io.WriteString(s.Writer, text)
	return len(p), err
}
