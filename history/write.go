package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"coinbench/history/event"
)

// Writer writes one run's folder. Its methods may be called from several goroutines. Events, readings and intervals reach the
// operating system before the method returns, so nothing that was recorded is lost when the process is killed.
//
// The first write that fails (a full disk) is remembered: every later call returns it at once, and what was written before
// stays readable.
type Writer struct {
	dir      string
	secrets  Secrets // which no text of the record may repeat
	mu       sync.Mutex
	events   *lineFile
	readings *lineFile
	loads    []*LoadWriter
	failed   error
}

// ErrNotEmpty is why a folder cannot hold a new run.
var ErrNotEmpty = errors.New("is not empty")

// Create makes the folder of a run and writes what was asked. The folder must not exist yet or be empty.
func Create(dir string, m Manifest, scenario, app []byte) (*Writer, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("create history: %s %w: choose another folder with --out", dir, ErrNotEmpty)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	secrets := slices.Clone(m.Secrets)
	secrets.AddArgs(m.Command)
	secrets.AddValues(m.Settings)
	secrets.AddText(string(scenario))
	secrets.AddText(string(app))
	m.Version = Version
	m.Command, m.Settings = MaskArgs(m.Command), maskValues(m.Settings)
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"manifest.json", append(manifest, '\n')}, {"scenario.yaml", maskYAML(scenario)}, {"app.yaml", maskYAML(app)}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o644); err != nil {
			return nil, fmt.Errorf("create history: %w", err)
		}
	}
	w := &Writer{dir: dir, secrets: secrets}
	if w.events, err = createLines(filepath.Join(dir, "events.jsonl")); err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	if w.readings, err = createLines(filepath.Join(dir, "readings.jsonl")); err != nil {
		w.events.close()
		return nil, fmt.Errorf("create history: %w", err)
	}
	return w, nil
}

// Scenario writes what was asked anew: of a session, which grows into a scenario.
func (w *Writer) Scenario(source []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets.AddText(string(source))
	path := filepath.Join(w.dir, "scenario.yaml")
	err := os.WriteFile(path+".new", maskYAML(source), 0o644)
	if err == nil {
		err = os.Rename(path+".new", path) // in one step, for those who read it meanwhile
	}
	if err != nil && w.failed == nil {
		w.failed = fmt.Errorf("record the scenario: %w", err)
	}
	return err
}

// Dir is the run's folder.
func (w *Writer) Dir() string { return w.dir }

// Event appends an event.
func (w *Writer) Event(e Event) error {
	return w.append(w.events, "event", e.json(w.secrets.values), true)
}

// Reading appends a reading.
func (w *Writer) Reading(r Reading) error { return w.append(w.readings, "reading", r, true) }

// Err is the first write that failed, or nil.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Close flushes and closes every file. Loads that were not ended stay without an end.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := []error{w.failed, w.events.close(), w.readings.close()}
	for _, l := range w.loads {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

func (w *Writer) append(f *lineFile, what string, v any, flush bool) error {
	line, err := encode(v)
	if err != nil {
		return fmt.Errorf("record %s: %w", what, err)
	}
	if err := w.Err(); err != nil {
		return err
	}
	if err = f.line(line, flush); err != nil {
		return w.fail(what, err)
	}
	return nil
}

// fail remembers the first write that failed.
func (w *Writer) fail(what string, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = fmt.Errorf("record %s: %w: what was recorded before is kept in %s", what, err, w.dir)
	}
	return w.failed
}

// LoadWriter writes one load of a run: it takes what a load generator records. Where a load is put on record its begin and its end are
// events of the run, by Writer.Load and End.
type LoadWriter struct {
	run                         *Writer
	spec                        LoadSpec
	dir                         string
	intervals, samples, failure *lineFile
}

// Load makes the folder of a load. Its name may repeat within a run and may hold any characters; the folder's name is made from it.
func (w *Writer) Load(spec LoadSpec) (*LoadWriter, error) {
	if err := w.Event(Event{At: spec.Begin, Step: spec.Step, Service: spec.Service, Payload: event.LoadBegin{Name: spec.Name}}); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &LoadWriter{run: w, spec: spec, dir: filepath.Join(w.dir, "load", fmt.Sprintf("%03d-%s", len(w.loads)+1, fileName(spec.Name)))}
	fail := func(err error) (*LoadWriter, error) {
		l.close()
		w.failed = fmt.Errorf("record load %s: %w: what was recorded before is kept in %s", spec.Name, err, w.dir)
		return nil, w.failed
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fail(err)
	}
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fail(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "load.json"), append(data, '\n'), 0o644); err != nil {
		return fail(err)
	}
	for _, f := range []struct {
		name string
		to   **lineFile
	}{{"intervals.jsonl", &l.intervals}, {"samples.jsonl", &l.samples}, {"failures.jsonl", &l.failure}} {
		if *f.to, err = createLines(filepath.Join(l.dir, f.name)); err != nil {
			return fail(err)
		}
	}
	w.loads = append(w.loads, l)
	return l, nil
}

// Interval appends an interval, and flushes the samples that came before it.
func (l *LoadWriter) Interval(i Interval) error {
	if err := l.run.append(l.intervals, "interval", i, true); err != nil {
		return err
	}
	return l.flush()
}

// Sample appends a request; failures have a file of their own, so that many good requests never crowd them out.
// It reaches the disk with the next Interval or at End.
func (l *LoadWriter) Sample(s Sample) error {
	if s.Class != OK {
		s.Error = l.run.secrets.Mask(s.Error)
		return l.run.append(l.failure, "failure", s, false)
	}
	return l.run.append(l.samples, "sample", s, false)
}

// End closes the load. failed says why it could not be played to its end; nil: it was.
func (l *LoadWriter) End(end LoadEndRecord, failed error) error {
	over := event.LoadEnd{Name: l.spec.Name}
	if failed != nil {
		over.Error = failed.Error()
	}
	if err := errors.Join(l.flush(), l.run.Event(Event{At: max(end.End, l.spec.Begin), Step: l.spec.Step, Service: l.spec.Service,
		Payload: over})); err != nil {
		return err
	}
	for _, texts := range []*[]string{&end.Invalid, &end.Warnings} {
		*texts = slices.Clone(*texts)
		for i, text := range *texts {
			(*texts)[i] = l.run.secrets.Mask(text)
		}
	}
	data, err := json.MarshalIndent(end, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(l.dir, "end.json"), append(data, '\n'), 0o644)
	}
	if err = errors.Join(err, l.close()); err != nil {
		return l.run.fail("end of load", err)
	}
	return nil
}

func (l *LoadWriter) flush() error {
	if err := l.run.Err(); err != nil {
		return err
	}
	if err := errors.Join(l.samples.flush(), l.failure.flush()); err != nil {
		return l.run.fail("samples", err)
	}
	return nil
}

func (l *LoadWriter) close() error {
	return errors.Join(l.intervals.close(), l.samples.close(), l.failure.close())
}

// fileName keeps letters, digits, dot, dash and underscore.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, name)
	return safe[:min(len(safe), 80)]
}

// lineFile appends whole lines. Its lock is its own: a file that is written slowly delays no other. When a write fails part-way it cuts the
// file back to its last whole line.
type lineFile struct {
	mu   sync.Mutex
	file *os.File
	buf  *bufio.Writer
	good int64 // length up to which the file holds whole lines
	size int64 // good plus what is buffered
}

func createLines(path string) (*lineFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &lineFile{file: f, buf: bufio.NewWriterSize(f, 16<<10)}, nil
}

func (f *lineFile) line(data []byte, flush bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return os.ErrClosed
	}
	_, err := f.buf.Write(data)
	if err == nil {
		err = f.buf.WriteByte('\n')
	}
	if err != nil {
		return f.cut(err)
	}
	f.size += int64(len(data)) + 1
	if flush {
		return f.flushed()
	}
	return nil
}

func (f *lineFile) flush() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flushed()
}

// flushed flushes. The caller holds mu, as that of cut.
func (f *lineFile) flushed() error {
	if f.file == nil {
		return nil
	}
	if err := f.buf.Flush(); err != nil {
		return f.cut(err)
	}
	f.good = f.size
	return nil
}

// cut drops a torn tail after a failed write. The buffer may have been flushed in the middle of a line by an earlier,
// successful write, so the file is cut at the last newline at or after good.
func (f *lineFile) cut(cause error) error {
	end := f.good
	if data, err := os.ReadFile(f.file.Name()); err == nil {
		for i := len(data) - 1; i >= int(f.good); i-- {
			if data[i] == '\n' {
				end = int64(i) + 1
				break
			}
		}
	}
	if err := f.file.Truncate(end); err != nil {
		return errors.Join(cause, err)
	}
	f.buf.Reset(f.file)
	f.good, f.size = end, end
	return cause
}

func (f *lineFile) close() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := errors.Join(f.flushed(), f.file.Close())
	f.file = nil
	return err
}
