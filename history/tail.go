package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// Next hands on everything that was recorded since the last time; any says whether there was something. Lines that are not whole yet are
// left for the next time, and those that cannot be read are left out.
func (t *Tail) Next(to Follower) (any bool, err error) {
	var events []Event // read first, so that after the end of the run nothing is missing
	err = tailLines(t, "events.jsonl", func(e Event) { events = append(events, e) })
	folders, _ := filepath.Glob(filepath.Join(t.dir, "load", "*", "load.json"))
	slices.Sort(folders)
	for _, path := range folders[min(len(t.loads), len(folders)):] {
		var spec LoadSpec
		data, e := os.ReadFile(path)
		if e != nil || json.Unmarshal(data, &spec) != nil {
			break // it is being written
		}
		to.Load(len(t.loads), spec)
		t.loads = append(t.loads, &tailLoad{folder: filepath.Join("load", filepath.Base(filepath.Dir(path)))})
		any = true
	}
	for _, e := range events {
		to.Event(e)
		any = true
	}
	err = errors.Join(err, tailLines(t, "readings.jsonl", func(r Reading) {
		to.Reading(r)
		any = true
	}))
	for n, l := range t.loads {
		if l.ended {
			continue
		}
		var end LoadEndRecord
		data, e := os.ReadFile(filepath.Join(t.dir, l.folder, "end.json"))
		ended := e == nil && json.Unmarshal(data, &end) == nil
		err = errors.Join(err, tailLines(t, filepath.Join(l.folder, "intervals.jsonl"), func(i Interval) {
			to.Interval(n, i)
			any = true
		}))
		if ended {
			to.LoadEnd(n, end)
			l.ended, any = true, true
		}
	}
	return any, err
}

// tailLines reads the whole lines of a file that were appended since the last time.
func tailLines[T any](t *Tail, name string, take func(T)) error {
	f, err := os.Open(filepath.Join(t.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer f.Close()
		_, err = f.Seek(t.offset[name], io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("follow the run: %w", err)
	}
	lines := lineReader{in: bufio.NewReaderSize(f, 64<<10)}
	for {
		line, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow the run: %s: %w", name, err)
		}
		t.offset[name] += int64(len(line))
		var v T
		if json.Unmarshal(line, &v) != nil {
			t.unread++
			continue
		}
		take(v)
	}
}
