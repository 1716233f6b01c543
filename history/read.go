package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"coinbench/history/event"
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
	// Intervals are those of the load in the order of time. Of a folder that was opened they hold counts; their histograms are in Total,
	// and a TimesReader reads those of one interval. So an hour at any rate takes some megabytes.
	Intervals []Interval
	Samples   []Sample       // the requests that were kept one by one, by Seq: all of them, or failures alone where there were too many
	Closing   *LoadEndRecord // nil: the load was cut off

	total *Interval // of a folder that was opened
}

// Due is how many requests ended.
func (l *Load) Due() (n int64) {
	for _, i := range l.Intervals {
		n += i.Due
	}
	return n
}

// Failed is how many of them did not succeed.
func (l *Load) Failed() (n int64) {
	for _, i := range l.Intervals {
		n += i.Failed()
	}
	return n
}

// Total merges the load's intervals.
func (l Load) Total() Interval {
	var total Interval
	if l.total != nil {
		total.Merge(*l.total)
	} else {
		for _, i := range l.Intervals {
			total.Merge(i)
		}
	}
	if total.Response == nil {
		total.Merge(Interval{At: l.Begin, Response: NewHistogram(), Service: NewHistogram(), Lag: NewHistogram()})
	}
	if l.Closing != nil && l.Closing.MaxGap > 0 {
		total.MaxGap = l.Closing.MaxGap
	}
	return total
}

// Open reads the run in dir. Torn or unreadable lines are left out and named in Warnings: only a missing or unreadable
// manifest, or one of a newer version, is an error.
func Open(dir string) (*Run, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Status: Killed, Manifest: m}
	r.Scenario = r.file("scenario.yaml")
	r.App = r.file("app.yaml")
	r.Events = readLines[Event](r, "events.jsonl")
	names := newInterned()
	eachLine(r, "readings.jsonl", func(v *Reading) error {
		r.Readings = append(r.Readings, names.reading(*v))
		return nil
	})
	for _, e := range r.Events {
		r.End = max(r.End, e.At)
		if p, ok := e.Payload.(event.RunEnd); ok {
			r.Status = RunStatus(p.Status)
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

func readManifest(dir string) (m Manifest, err error) {
	path := filepath.Join(dir, "manifest.json")
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return m, fmt.Errorf("open history: %s holds no manifest.json, so it is not the folder of a run", dir)
		}
		return m, fmt.Errorf("open history: %w", err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("open history: %s: %w", path, err)
	}
	if m.Version > Version {
		return m, fmt.Errorf("open history: %s has format version %d, this coinbench reads up to %d: use a newer one", dir, m.Version, Version)
	}
	m.Engines = m.Engines || m.Cluster == "swarm" // which a manifest did not always say
	return m, nil
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
	end := filepath.Join(rel, "end.json")
	if data, err := os.ReadFile(filepath.Join(r.Dir, end)); err == nil {
		l.Closing = new(LoadEndRecord)
		if err := json.Unmarshal(data, l.Closing); err != nil {
			r.warn("%s: %v", end, err)
			l.Closing = nil
		}
	}
	r.intervals(&l, filepath.Join(rel, "intervals.jsonl"))
	r.samples(&l, rel)
	return l, true
}

// intervals reads those of a load one by one, so that of their histograms only the total is ever in memory whole. Those of single
// replicas and versions are not read: they are for who watches the load while it plays.
func (r *Run) intervals(l *Load, name string) {
	names := newInterned()
	l.total = &Interval{}
	var sums [5]Sum
	var readers [5]countReader
	eachLine(r, name, func(j *intervalJSON) error {
		all := j.histograms()
		var times [5][]Count
		for n, e := range all {
			var err error
			if times[n], err = readers[n].of(nil, e); err != nil {
				return err // before anything was added
			}
		}
		for n := range times {
			sums[n].Add(times[n])
		}
		i := j.counts()
		served := i.Served
		i.Served = nil // those of single intervals stay
		l.total.Merge(i)
		i.Served, i.response, i.givenUp, i.Replicas, i.Versions = served, all[0], all[2], nil, nil
		if j.Response == "" {
			i.service = all[1]
		}
		for n := range i.Parts {
			i.Parts[n].Replica, i.Parts[n].Version = names.text(i.Parts[n].Replica), names.text(i.Parts[n].Version)
		}
		l.Intervals = append(l.Intervals, i)
		return nil
	})
	for n, to := range []**Histogram{&l.total.Response, &l.total.Service, &l.total.GivenUp, &l.total.Lag, &l.total.Late} {
		if h := sums[n].Histogram(); h != nil {
			*to = h
		}
	}
}

// samples reads the requests of a load that were kept one by one. Good ones say nothing of a load of which not all were kept, but
// where the intervals of a load that was cut off are missing, they stand for them.
func (r *Run) samples(l *Load, rel string) {
	names := newInterned()
	whole := l.Closing == nil || l.Closing.SamplesKept == 0 || l.Closing.SamplesKept+l.Closing.FailuresKept >= l.Closing.Due
	keep := func(s *Sample) error {
		s.Class, s.Error = Class(names.text(string(s.Class))), names.text(s.Error)
		s.Replica, s.Version = names.text(s.Replica), names.text(s.Version)
		l.Samples = append(l.Samples, *s)
		return nil
	}
	if whole { // that file holds good ones only
		eachLine(r, filepath.Join(rel, "samples.jsonl"), keep)
	}
	eachLine(r, filepath.Join(rel, "failures.jsonl"), keep)
	slices.SortStableFunc(l.Samples, func(a, b Sample) int { return int(a.Seq - b.Seq) })
	var end time.Duration
	if n := len(l.Intervals); n > 0 {
		end = l.Intervals[n-1].At + l.Intervals[n-1].Length
	}
	missing := slices.Collect(func(yield func(Sample) bool) {
		for _, s := range l.Samples {
			if s.Done >= end && !yield(s) {
				return
			}
		}
	})
	if len(missing) == 0 || l.Closing != nil && l.Due() >= int64(len(l.Samples)) {
		return
	}
	r.warn("%s: %d requests are not in its intervals, which end before: they are counted from its samples", rel, len(missing))
	for _, i := range intervalsOf(missing, max(end, l.Begin)) {
		l.total.Merge(i)
		l.Intervals = append(l.Intervals, i)
	}
}

// intervalsOf are the seconds of a load from an instant on whose samples are all there is.
func intervalsOf(samples []Sample, begin time.Duration) (all []Interval) {
	slices.SortFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Done, b.Done) })
	last := begin
	for _, s := range samples {
		for len(all) == 0 || s.Done >= all[len(all)-1].At+time.Second {
			all = append(all, Interval{At: begin + time.Duration(len(all))*time.Second, Length: time.Second})
		}
		i := &all[len(all)-1]
		if s.Class == OK {
			i.MaxGap, last = max(i.MaxGap, s.Done-last), s.Done
		}
		i.Add(s)
	}
	if n := len(all); n > 0 {
		all[n-1].Length = samples[len(samples)-1].Done - all[n-1].At
	}
	return all
}

// Add counts a request. The gap before it is the caller's to know.
func (i *Interval) Add(s Sample) {
	i.Due++
	i.Bytes += s.Bytes
	var part *Part
	if s.Replica != "" || s.Version != "" {
		part = i.Part(s.Replica, s.Version)
	}
	if s.Status > 0 {
		i.Replicas = addCounts(i.Replicas, map[string]int64{s.Replica: 1})
		i.Versions = addCounts(i.Versions, map[string]int64{s.Version: 1})
	}
	if s.Class != Dropped {
		Observe(&i.Lag, s.Sent-s.Due)
	}
	if s.Class == OK {
		i.OK++
		i.Served = Succeeded(i.Served, s.Done)
		Observe(&i.Response, s.Done-s.Due)
		Observe(&i.Service, s.Done-s.Sent)
		if part != nil {
			part.OK++
			Observe(&part.Response, s.Done-s.Due)
		}
		return
	}
	failure := map[Class]int64{s.Class: 1}
	i.Failures = addCounts(i.Failures, failure)
	if part != nil {
		part.Failures = addCounts(part.Failures, failure)
	}
	if s.Class.GivenUp() {
		Observe(&i.GivenUp, s.Done-s.Due)
	}
	if s.Class != Cancelled {
		i.LastFail = max(i.LastFail, s.Done)
	}
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
func readLines[T any](r *Run, name string) (all []T) {
	eachLine(r, name, func(v *T) error {
		all = append(all, *v)
		return nil
	})
	return all
}

// eachLine reads a file of JSON lines one by one. It leaves out, and names, what cannot be read, and values that take refuses.
func eachLine[T any](r *Run, name string, take func(*T) error) {
	f, err := os.Open(filepath.Join(r.Dir, name))
	if err != nil {
		r.warn("%v", err)
		return
	}
	defer f.Close()
	faults, err := decodeEach(f, take)
	for _, fault := range faults {
		r.warn("%s:%s", name, fault)
	}
	if err != nil {
		r.warn("%s: %v", name, err)
	}
}

// decodeEach takes JSON values, one a line. A line that holds no T, and a last line that does not end, are left out and described in
// faults as "line: why"; at most ten are described, the rest counted.
func decodeEach[T any](in io.Reader, take func(*T) error) (faults []string, err error) {
	left := 0
	fault := func(format string, args ...any) {
		if left++; left <= 10 {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	lines := lineReader{in: bufio.NewReaderSize(in, 64<<10)}
	for n := 1; ; n++ {
		line, readErr := lines.next()
		if readErr == nil {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			var v T
			err := json.Unmarshal(line, &v)
			if err == nil {
				err = take(&v)
			}
			if err != nil {
				fault("%d: %v: left out", n, err)
			}
			continue
		}
		if len(line) > 0 {
			fault("%d: the last line is torn: left out", n)
		}
		if left > 10 {
			faults = append(faults, fmt.Sprintf("%d more lines left out", left-10))
		}
		if readErr != io.EOF {
			return faults, readErr
		}
		return faults, nil
	}
}

// lineReader reads lines of any length into the same memory.
type lineReader struct {
	in   *bufio.Reader
	long []byte
}

// next is the next line, which is valid until the one after it.
func (r *lineReader) next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, err
	}
	r.long = append(r.long[:0], line...)
	for err == bufio.ErrBufferFull {
		line, err = r.in.ReadSlice('\n')
		r.long = append(r.long, line...)
	}
	return r.long, err
}

// Begin is what the run said of itself as it began; nothing where it did not.
func (r *Run) Begin() event.RunBegin {
	for _, e := range r.Events {
		if p, ok := e.Payload.(event.RunBegin); ok {
			return p
		}
	}
	return event.RunBegin{}
}
