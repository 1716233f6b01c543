package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// followEvery is how often the files of logs are looked at.
const followEvery = 200 * time.Millisecond

// FollowLogs writes what the tasks of a service printed, and goes on until the app is removed.
func (c *Cluster) FollowLogs(ctx context.Context, service string, w io.Writer) error {
	s, err := c.app.Lookup(service)
	if err == nil && c.config.Dir == "" {
		err = errors.New("logs are not kept")
	}
	if err != nil {
		return fmt.Errorf("logs of %s: %w", service, err)
	}
	read := map[string]int64{} // bytes, by file
	for {
		ended := !slices.Contains(c.app.Deployed(), s) // looked up first: what it printed until then is read below
		names, err := filepath.Glob(filepath.Join(c.config.Dir, "logs", s.name+".*.log"))
		if err != nil {
			return fmt.Errorf("logs of %s: %w", service, err)
		}
		for _, name := range names {
			n, err := copyLines(w, name, read[name], ended)
			read[name] += n
			if err != nil {
				return fmt.Errorf("logs of %s: %w", service, err)
			}
		}
		if ended {
			return nil
		}
		if err := c.Sleep(ctx, followEvery); err != nil {
			return err
		}
	}
}

// copyLines writes the lines of a task's log from a byte on, and returns how many bytes they were. A line without an end is left for
// later, unless it is the last.
func copyLines(w io.Writer, name string, from int64, last bool) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, from, maxLog+1<<10))
	if err != nil {
		return 0, err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if last {
		whole = len(text)
	}
	if whole == 0 {
		return 0, nil
	}
	task := strings.TrimSuffix(filepath.Base(name), ".log")
	var out bytes.Buffer
	for line := range strings.Lines(string(text[:whole])) {
		fmt.Fprintf(&out, "%s | %s\n", task, strings.TrimSuffix(line, "\n"))
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return int64(whole), nil
}
