package history_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"coinbench/history"
)

// taken is what a Tail handed on.
type taken struct {
	Events    []history.Event
	Readings  []history.Reading
	Specs     []string
	Due, OK   int64
	Response  int64
	Ends      int
	intervals int
}

func (t *taken) Event(e history.Event)              { t.Events = append(t.Events, e) }
func (t *taken) Reading(r history.Reading)          { t.Readings = append(t.Readings, r) }
func (t *taken) Load(_ int, s history.LoadSpec)     { t.Specs = append(t.Specs, s.Name) }
func (t *taken) LoadEnd(int, history.LoadEndRecord) { t.Ends++ }
func (t *taken) Interval(_ int, i history.Interval) {
	t.Due, t.OK, t.Response = t.Due+i.Due, t.OK+i.OK, t.Response+i.Response.TotalCount()
	t.intervals++
}

// What a tail hands on of a folder that grows byte by byte is what it hands on of the whole.
func TestATailReadsEachLineOnce(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	write(t, whole)
	var want taken
	tail, _, err := history.OpenTail(whole)
	if err != nil {
		t.Fatal(err)
	}
	if any, err := tail.Next(&want); !any || err != nil {
		t.Fatal(any, err)
	}
	if any, err := tail.Next(&want); any || err != nil {
		t.Fatalf("again: %v %v", any, err)
	}
	if len(want.Events) != 4 || len(want.Readings) != 2 || want.Due != 3 || want.OK != 2 || want.Response != 2 || want.Ends != 1 {
		t.Fatalf("%+v", want)
	}

	dir := filepath.Join(t.TempDir(), "grows")
	files := []string{"manifest.json", "events.jsonl", "readings.jsonl"}
	load := filepath.Join("load", "001-bench-c1")
	for _, name := range []string{"load.json", "intervals.jsonl", "end.json"} {
		files = append(files, filepath.Join(load, name))
	}
	if err := os.MkdirAll(filepath.Join(dir, load), 0o755); err != nil {
		t.Fatal(err)
	}
	var got taken
	tail = nil
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			if _, err := f.Write(data[i : i+1]); err != nil {
				t.Fatal(err)
			}
			if tail == nil {
				tail, _, _ = history.OpenTail(dir)
				if name == "manifest.json" && i < len(data)-2 {
					tail = nil
				}
			} else if _, err := tail.Next(&got); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	if _, err := tail.Next(&got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || tail.Unread() != 0 {
		t.Errorf("byte by byte %+v\nat once %+v", got, want)
	}
}

// A line that holds nothing that can be read is left out and counted, and those after it are read.
func TestATailLeavesOutWhatItCannotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	write(t, dir)
	f, err := os.OpenFile(filepath.Join(dir, "events.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("nothing\n" + `{"at":20,"kind":"run.end","detail":{"status":"ok"}}` + "\n{\"at\":"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var got taken
	tail, _, err := history.OpenTail(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tail.Next(&got); err != nil || len(got.Events) != 5 || got.Events[4].At != 20*time.Nanosecond || tail.Unread() != 1 {
		t.Errorf("%v, %d events, %d unread", err, len(got.Events), tail.Unread())
	}
}

// inTime notes the instants of what it is handed.
type inTime struct{ at []time.Duration }

func (o *inTime) Event(e history.Event)                    { o.at = append(o.at, e.At) }
func (o *inTime) Reading(r history.Reading)                { o.at = append(o.at, r.At) }
func (o *inTime) Load(_ int, s history.LoadSpec)           { o.at = append(o.at, s.Begin) }
func (o *inTime) Interval(_ int, i history.Interval)       { o.at = append(o.at, i.At+i.Length) }
func (o *inTime) LoadEnd(_ int, end history.LoadEndRecord) { o.at = append(o.at, end.End) }

// What several files hold comes in the order of time, as if it had been followed while it was written.
func TestATailIsInTheOrderOfTime(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json":            `{"schema":1}`,
		"events.jsonl":             `{"at":1,"kind":"run.begin"}` + "\n" + `{"at":9,"kind":"run.end","detail":{"status":"ok"}}` + "\n",
		"readings.jsonl":           `{"at":2,"service":"rng"}` + "\n" + `{"at":8,"service":"rng"}` + "\n",
		"load/001/load.json":       `{"name":"a","begin":3}`,
		"load/001/intervals.jsonl": `{"at":3,"length":2}` + "\n" + `{"at":5,"length":1}` + "\n",
		"load/001/end.json":        `{"end":7}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tail, _, err := history.OpenTail(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got inTime
	if _, err := tail.Next(&got); err != nil || len(got.at) != 8 || !slices.IsSorted(got.at) {
		t.Errorf("%v, %v, %d unread", err, got.at, tail.Unread())
	}
}
