package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Tail reads the folder of a run while it grows, or afterwards: each Next hands on what came since the one before. It never holds up who
// writes, and keeps nothing of what it handed on.
type Tail struct {
	dir    string
	offset map[string]int64
	loads  []*tailLoad
	unread int
}

type tailLoad struct {
	folder string // below the run's
	ended  bool
}

// Follower takes what a Tail reads. Loads are numbered from 0, in the order of their folders.
type Follower interface {
	Event(Event)
	Reading(Reading)
	Load(n int, spec LoadSpec)
	Interval(n int, i Interval)
	LoadEnd(n int, end LoadEndRecord)
}

// OpenTail begins to read a run's folder. The manifest must be there.
func OpenTail(dir string) (*Tail, Manifest, error) {
	m, err := readManifest(dir)
	return &Tail{dir: dir, offset: map[string]int64{}}, m, err
}

// Unread is how many lines could not be read, and were left out.
func (t *Tail) Unread() int { return t.unread }

// Next hands on everything that was recorded since the last time, in the order of time as far as each file is; any says whether there was
// something. Lines that are not whole yet are left for the next time, and those that cannot be read are left out.
func (t *Tail) Next(to Follower) (any bool, err error) {
	// How long each file is, is asked for at once, and events first, so that after the end of the run nothing is missing.
	events := tailLines(t, "events.jsonl", &err, func(e Event) (time.Duration, func()) { return e.At, func() { to.Event(e) } })
	folders, _ := filepath.Glob(filepath.Join(t.dir, "load", "*", "load.json"))
	slices.Sort(folders)
	var all []records
	for n, path := range folders {
		isNew := n == len(t.loads)
		var spec LoadSpec
		if isNew {
			data, e := os.ReadFile(path)
			if e != nil || json.Unmarshal(data, &spec) != nil {
				break // it is being written
			}
			t.loads = append(t.loads, &tailLoad{folder: filepath.Join("load", filepath.Base(filepath.Dir(path)))})
		}
		l := t.loads[n]
		if l.ended {
			continue
		}
		var end LoadEndRecord
		data, e := os.ReadFile(filepath.Join(t.dir, l.folder, "end.json"))
		l.ended = e == nil && json.Unmarshal(data, &end) == nil
		intervals := tailLines(t, filepath.Join(l.folder, "intervals.jsonl"), &err, func(i Interval) (time.Duration, func()) {
			return i.At + i.Length, func() { to.Interval(n, i) }
		})
		all = append(all, func(yield func(time.Duration, func()) bool) {
			if isNew && !yield(spec.Begin, func() { to.Load(n, spec) }) {
				return
			}
			for at, give := range intervals {
				if !yield(at, give) {
					return
				}
			}
			if l.ended {
				yield(end.End, func() { to.LoadEnd(n, end) })
			}
		})
	}
	all = append(all, events,
		tailLines(t, "readings.jsonl", &err, func(r Reading) (time.Duration, func()) { return r.At, func() { to.Reading(r) } }))
	return inOrder(all), err
}

// records are what was recorded, one after the other: an instant, and what hands it on.
type records = iter.Seq2[time.Duration, func()]

// inOrder hands on what several hold, the earliest of their next ones first, of equal ones that of the first; it says whether there was
// any.
func inOrder(all []records) (any bool) {
	type head struct {
		at   time.Duration
		give func()
		next func() (time.Duration, func(), bool)
	}
	var heads []head
	for _, r := range all {
		next, stop := iter.Pull2(r)
		defer stop()
		if at, give, ok := next(); ok {
			heads = append(heads, head{at, give, next})
		}
	}
	for len(heads) > 0 {
		first := 0
		for i, h := range heads {
			if h.at < heads[first].at {
				first = i
			}
		}
		h := &heads[first]
		h.give()
		any = true
		var ok bool
		if h.at, h.give, ok = h.next(); !ok {
			heads = slices.Delete(heads, first, first+1)
		}
	}
	return any
}

// tailLines are the whole lines that were appended to a file since the last time. What goes wrong is joined to failed.
func tailLines[T any](t *Tail, name string, failed *error, take func(T) (time.Duration, func())) records {
	fail := func(err error) { *failed = errors.Join(*failed, fmt.Errorf("follow the run: %s: %w", name, err)) }
	f, err := os.Open(filepath.Join(t.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return func(func(time.Duration, func()) bool) {}
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err == nil {
		_, err = f.Seek(t.offset[name], io.SeekStart)
	}
	return func(yield func(time.Duration, func()) bool) {
		if f != nil {
			defer f.Close()
		}
		if err != nil {
			fail(err)
			return
		}
		lines := lineReader{in: bufio.NewReaderSize(io.LimitReader(f, info.Size()-t.offset[name]), 64<<10)}
		for {
			line, err := lines.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				fail(err)
				return
			}
			t.offset[name] += int64(len(line))
			var v T
			if json.Unmarshal(line, &v) != nil {
				t.unread++
				continue
			}
			if at, give := take(v); !yield(at, give) {
				return
			}
		}
	}
}
