package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"

	"coinbench/history"
	"coinbench/internal/visible"
	"coinbench/reports"
)

// keepPipes makes a write into a pipe without a reader an error instead of the end of the process, so that the reader of a report may
// go before the run ends: run ... | head -1. Child processes are not affected.
func keepPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// output is standard output. It remembers the first write that failed: few who print look.
type output struct {
	io.Writer
	failed error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.failed == nil {
		o.failed = err
	}
	return n, err
}

// err is the first write that failed; nil as well when the reader went away, for that is no fault.
func (o *output) err() error { return unlessGone(o.failed) }

// unlessGone is the error of a write, unless it says that the reader has gone.
func unlessGone(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// secrets are what no output repeats: those of the command and of the files that it reads, and of what is said to a cluster meanwhile.
type secrets struct {
	mu    sync.Mutex
	known history.Secrets
}

// keep hides a secret, and those of a text of YAML, JSON or a form, and of variables, from here on.
func (s *secrets) keep(secret, text string, values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Add(secret)
	s.known.AddText(text)
	s.known.AddValues(values)
}

// Mask is a text without them.
func (s *secrets) Mask(text string) string { return s.all().Mask(text) }

func (s *secrets) all() history.Secrets {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known)
}

// messages is standard error: progress, warnings, errors. That they cannot be written stops nothing, what others said in them cannot
// command the terminal, and none repeats a secret.
type messages struct {
	io.Writer
	secrets *secrets
}

func (m messages) Write(p []byte) (int, error) {
	text := visible.Text(m.secrets.Mask(string(p)), visible.Lines)
	if terminal(m.Writer) != nil { // whole lines are for grep, and for those who look for FILE:LINE in logs
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if !strings.HasPrefix(line, " ") { // no source with a caret
				lines[i] = reports.Fold(line, width(m.Writer))
			}
		}
		text = strings.Join(lines, "\n")
	}
	_, _ = io.WriteString(m.Writer, text)
	return len(p), nil
}

// maskedLines writes what others printed, line by line, without the secrets that are known.
type maskedLines struct {
	w       io.Writer
	secrets *secrets
	begun   []byte // a line that has not ended
}

func (m *maskedLines) Write(p []byte) (int, error) {
	m.begun = append(m.begun, p...)
	ended := bytes.LastIndexByte(m.begun, '\n') + 1
	_, err := io.WriteString(m.w, m.secrets.Mask(string(m.begun[:ended])))
	m.begun = append(m.begun[:0], m.begun[ended:]...)
	return len(p), err
}

// flush writes a last line that has no end.
func (m *maskedLines) flush() error {
	_, err := io.WriteString(m.w, m.secrets.Mask(string(m.begun)))
	m.begun = nil
	return err
}

// width is how many columns the lines of a stream have: a terminal's own, and elsewhere 100.
func width(w io.Writer) int {
	if f := terminal(w); f != nil {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 { // some have none
			return max(columns, 20)
		}
	}
	return 100
}

// say prints a line, folded to the width of its stream.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, reports.Fold(fmt.Sprintf(format, args...), width(w)))
}

// table prints rows, the first of which is the header, in the width of its stream.
func table(w io.Writer, rows reports.Table) error {
	_, err := io.WriteString(w, rows.Text("", width(w)))
	return err
}

// terminal is the file behind a stream if it is a terminal, or nil.
func terminal(w io.Writer) *os.File {
	switch v := w.(type) {
	case *output:
		return terminal(v.Writer)
	case messages:
		return terminal(v.Writer)
	case *screen:
		return terminal(v.Writer)
	case *os.File:
		if term.IsTerminal(int(v.Fd())) {
			return v
		}
	}
	return nil
}
