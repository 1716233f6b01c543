package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"coinbench/history"
	"coinbench/internal/visible"
)

// keepPipes makes a write into a pipe that nobody reads an error instead of the end of the process, so that the reader of a report may
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

// messages is standard error: progress, warnings, errors. That they cannot be written stops nothing, what others said in them cannot
// command the terminal, and none repeats a secret.
type messages struct {
	io.Writer
	secrets *history.Secrets
}

func (m messages) Write(p []byte) (int, error) {
	keep := visible.Lines
	if terminal(m.Writer) != nil {
		keep = visible.Drawn
	}
	_, _ = io.WriteString(m.Writer, visible.Text(m.secrets.Mask(string(p)), keep))
	return len(p), nil
}

// terminal is the file behind a stream if it is a terminal, or nil.
func terminal(w io.Writer) *os.File {
	switch v := w.(type) {
	case *output:
		return terminal(v.Writer)
	case messages:
		return terminal(v.Writer)
	case *os.File:
		if term.IsTerminal(int(v.Fd())) {
			return v
		}
	}
	return nil
}
