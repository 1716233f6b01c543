package local

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// The bounds of a task's log: of the file, and of the end that is kept for error messages.
const (
	maxLog  = 10 << 20
	maxTail = 4 << 10
)

// logFile keeps the output of a task. Writing never fails and never blocks for long: what does not fit, or cannot be
// written, is dropped, for a replica must not feel the state of our disk.
type logFile struct {
	mu      sync.Mutex
	file    *os.File // nil: no file
	left    int      // bytes that still fit
	failure error    // of the first write that failed
	tail    []byte
}

// newLogFile creates the file; an empty name keeps the tail only.
func newLogFile(name string) (*logFile, error) {
	l := &logFile{left: maxLog}
	if name == "" {
		return l, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	l.file = f
	return l, nil
}

// Write keeps what fits and returns len(p), nil.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - maxTail; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	if l.file == nil || l.left <= 0 || l.failure != nil {
		return len(p), nil
	}
	keep := p[:min(len(p), l.left)]
	if _, l.failure = l.file.Write(keep); l.failure != nil {
		return len(p), nil
	}
	if l.left -= len(p); l.left <= 0 {
		fmt.Fprintf(l.file, "\n[coinbench: cut after %d MiB]\n", maxLog>>20)
	}
	return len(p), nil
}

// last returns the last lines of the output, at most n.
func (l *logFile) last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.tail))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// close closes the file and returns what kept the log from being complete.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); l.failure == nil {
		l.failure = err
	}
	l.file = nil
	return l.failure
}
