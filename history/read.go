package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Run is a run's folder, read back.
type Run struct {
	Dir      string
	Manifest Manifest
	Scenario []byte // scenario.yaml
	App      []byte // app.yaml
	Events   []Event
	Readings []Reading
	Loads    []Load
	End      time.Duration // the last instant that the record holds
	Status   RunStatus
	Warnings []string // what could not be read, and was left out
}

// RunStatus says how a run ended.
type RunStatus string

// How a run ended. Only Finished is a whole record.
const (
	Finished    RunStatus = "ok"
	RunFailed   RunStatus = "failed"      // a step failed
	Interrupted RunStatus = "interrupted" // somebody stopped it
	Killed      RunStatus = "killed"      // it left no end
)

// Load is one load of a run.
type Load struct {
	LoadSpec
	Intervals []Interval
	Samples   []Sample       // the requests that were kept one by one, failures among them, by Seq
	Closing   *LoadEndRecord // nil: the load was cut off
}

// Total merges the load's intervals.
func (l Load) Total() Interval {
	var total Interval
	for _, i := range l.Intervals {
		total.Merge(i)
	}
	if total.Response == nil {
		total.Merge(Interval{At: l.Begin, Response: NewHistogram(), Service: NewHistogram(), Lag: NewHistogram()})
	}
	if l.Closing != nil {
		total.MaxGap = max(total.MaxGap, l.Closing.MaxGap)
	}
	return total
}

// Open reads the run in dir. Torn or unreadable lines are left out and named in Warnings: only a missing or unreadable
// manifest, or one of a newer version, is an error.
func Open(dir string) (*Run, error) {
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open history: %s holds no manifest.json, so it is not the folder of a run", dir)
		}
		return nil, fmt.Errorf("open history: %w", err)
	}
	r := &Run{Dir: dir, Status: Killed}
	if err := json.Unmarshal(data, &r.Manifest); err != nil {
		return nil, fmt.Errorf("open history: %s: %w", filepath.Join(dir, "manifest.json"), err)
	}
	if r.Manifest.Version > Version {
		return nil, fmt.Errorf("open history: %s has format version %d, this coinbench reads up to %d: use a newer one", dir, r.Manifest.Version, Version)
	}
	r.Scenario = r.file("scenario.yaml")
	r.App = r.file("app.yaml")
	r.Events = readLines[Event](r, "events.jsonl")
	r.Readings = readLines[Reading](r, "readings.jsonl")
	for _, e := range r.Events {
		r.End = max(r.End, e.At)
		if e.Kind == RunEnd {
			r.Status = RunStatus(e.Detail["status"])
		}
	}
	for _, v := range r.Readings {
		r.End = max(r.End, v.At)
	}
	folders, _ := filepath.Glob(filepath.Join(dir, "load", "*", "load.json"))
	slices.Sort(folders)
	for _, f := range folders {
		if l, ok := r.load(filepath.Dir(f)); ok {
			r.Loads = append(r.Loads, l)
			for _, i := range l.Intervals {
				r.End = max(r.End, i.At+i.Length)
			}
		}
	}
	return r, nil
}

func (r *Run) load(dir string) (Load, bool) {
	rel, err := filepath.Rel(r.Dir, dir)
	if err != nil {
		rel = dir
	}
	var l Load
	if err := json.Unmarshal(r.file(filepath.Join(rel, "load.json")), &l.LoadSpec); err != nil {
		r.warn("%s: %v: this load is left out", filepath.Join(rel, "load.json"), err)
		return l, false
	}
	l.Intervals = readLines[Interval](r, filepath.Join(rel, "intervals.jsonl"))
	l.Samples = append(readLines[Sample](r, filepath.Join(rel, "samples.jsonl")), readLines[Sample](r, filepath.Join(rel, "failures.jsonl"))...)
	slices.SortStableFunc(l.Samples, func(a, b Sample) int { return int(a.Seq - b.Seq) })
	end := filepath.Join(rel, "end.json")
	if data, err := os.ReadFile(filepath.Join(r.Dir, end)); err == nil {
		l.Closing = new(LoadEndRecord)
		if err := json.Unmarshal(data, l.Closing); err != nil {
			r.warn("%s: %v", end, err)
			l.Closing = nil
		}
	}
	return l, true
}

func (r *Run) file(name string) []byte {
	data, err := os.ReadFile(filepath.Join(r.Dir, name))
	if err != nil {
		r.warn("%v", err)
	}
	return data
}

func (r *Run) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// readLines reads a file of JSON lines and leaves out what cannot be read.
func readLines[T any](r *Run, name string) []T {
	f, err := os.Open(filepath.Join(r.Dir, name))
	if err != nil {
		r.warn("%v", err)
		return nil
	}
	defer f.Close()
	values, faults, err := DecodeLines[T](f)
	for _, fault := range faults {
		r.warn("%s:%s", name, fault)
	}
	if err != nil {
		r.warn("%s: %v", name, err)
	}
	return values
}

// DecodeLines reads JSON values, one a line. A line that holds no T, and a last line that does not end, are left out and
// described in faults as "line: why"; at most ten are described, the rest counted.
func DecodeLines[T any](in io.Reader) (values []T, faults []string, err error) {
	left := 0
	fault := func(format string, args ...any) {
		if left++; left <= 10 {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	buf := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		line, readErr := buf.ReadBytes('\n')
		if readErr == nil {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				fault("%d: %v: left out", n, err)
				continue
			}
			values = append(values, v)
			continue
		}
		if len(line) > 0 {
			fault("%d: the last line is torn: left out", n)
		}
		if left > 10 {
			faults = append(faults, fmt.Sprintf("%d more lines left out", left-10))
		}
		if readErr != io.EOF {
			return values, faults, readErr
		}
		return values, faults, nil
	}
}

// Objectives are the texts of the objectives by which the run is judged, as its run.begin event holds them under
// "objective.01" and so on.
func (r *Run) Objectives() []string {
	for _, e := range r.Events {
		if e.Kind != RunBegin {
			continue
		}
		var texts []string
		for _, key := range slices.Sorted(maps.Keys(e.Detail)) {
			if strings.HasPrefix(key, "objective.") {
				texts = append(texts, e.Detail[key])
			}
		}
		return texts
	}
	return nil
}
