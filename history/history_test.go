package history_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
	"coinbench/history/event"
)

func manifest() history.Manifest {
	return history.Manifest{Scenario: "smoke", Cluster: "local", Start: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Seed: 1}
}

// write makes a run with two events, two readings and a load of three requests.
func write(t *testing.T, dir string) {
	t.Helper()
	w, err := history.Create(dir, manifest(), []byte("name: smoke\n"), []byte("services: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.Event(history.Event{At: 1, Payload: event.RunBegin{}}))
	check(w.Reading(history.Reading{At: 2, Service: "rng", Task: "rng.1#1", Values: history.ValuesOf(map[string]float64{history.Busy: 1.5})}))
	check(w.Reading(history.Reading{At: 3, Service: "rng", Task: "rng.1#1", Values: history.ValuesOf(map[string]float64{history.Busy: 2.5})}))
	l, err := w.Load(history.LoadSpec{Name: "bench/c1", Clients: 1, Closed: true})
	check(err)
	for n := range int64(3) {
		s := history.Sample{Seq: n, Due: time.Duration(n), Done: time.Duration(n + 5)}
		if n == 1 {
			s.Class = history.Refused
		}
		check(l.Sample(s))
	}
	check(l.Interval(interval(5, 2, 1)))
	check(l.End(history.LoadEndRecord{End: 9, Due: 3, OK: 2, Failed: 1}, nil))
	check(w.Event(history.Event{At: 10, Payload: event.RunEnd{Status: string(history.Finished)}}))
	check(w.Close())
}

func interval(at time.Duration, ok, refused int64) history.Interval {
	i := history.Interval{At: at, Length: time.Second, Due: ok + refused, OK: ok, Failures: map[history.Class]int64{history.Refused: refused},
		Response: history.NewHistogram(), Service: history.NewHistogram(), Lag: history.NewHistogram()}
	for n := range ok {
		_ = i.Response.RecordValue(int64(at) + n*int64(time.Millisecond))
	}
	return i
}

func TestAWholeRunReadsBackAsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	write(t, dir)
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Warnings) > 0 || run.Status != history.Finished {
		t.Errorf("warnings %q, status %q", run.Warnings, run.Status)
	}
	if len(run.Events) != 4 || !run.Events[1].Is(event.LoadBegin{}) || !run.Events[2].Is(event.LoadEnd{}) || len(run.Readings) != 2 ||
		run.Readings[1].Values.Of(history.Busy) != 2.5 {
		t.Errorf("events %v, readings %v", run.Events, run.Readings)
	}
	if len(run.Loads) != 1 || run.Loads[0].Name != "bench/c1" || run.Loads[0].Closing.OK != 2 {
		t.Fatalf("loads %+v", run.Loads)
	}
	samples := run.Loads[0].Samples
	if len(samples) != 3 || samples[1].Class != history.Refused || samples[2].Seq != 2 {
		t.Errorf("samples %+v: want all three, failures in their place", samples)
	}
	if total := run.Loads[0].Total(); total.OK != 2 || total.Failed() != 1 || total.Response.TotalCount() != 2 {
		t.Errorf("total %+v", total)
	}
}

func TestAFolderIsNeverWrittenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	write(t, dir)
	_, err := history.Create(dir, manifest(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("err = %v", err)
	}
}

// Whatever byte a kill cuts a file at, the run opens, and holds a prefix of what was written.
func TestARunThatIsCutAtAnyByteIsReadable(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "run")
	write(t, whole)
	full, err := history.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"events.jsonl", "readings.jsonl", "load/001-bench-c1/intervals.jsonl", "load/001-bench-c1/samples.jsonl",
		"load/001-bench-c1/end.json"} {
		path := filepath.Join(whole, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range data {
			if err := os.WriteFile(path, data[:cut], 0o644); err != nil {
				t.Fatal(err)
			}
			run, err := history.Open(whole)
			if err != nil {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
			if !isPrefix(run.Events, full.Events) || !isPrefix(run.Readings, full.Readings) {
				t.Fatalf("%s cut at %d: not a prefix", name, cut)
			}
			torn := cut > 0 && data[cut-1] != '\n' && strings.HasSuffix(name, "jsonl")
			if torn && len(run.Warnings) == 0 {
				t.Fatalf("%s cut at %d: a torn line was not named", name, cut)
			}
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func isPrefix[T any](part, whole []T) bool {
	return len(part) <= len(whole) && (len(part) == 0 || reflect.DeepEqual(part, whole[:len(part)]))
}

func TestOpenRefusesWhatIsNoRunAndWhatIsNewer(t *testing.T) {
	dir := t.TempDir()
	if _, err := history.Open(dir); err == nil || !strings.Contains(err.Error(), "not the folder of a run") {
		t.Errorf("err = %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"version": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := history.Open(dir); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("err = %v", err)
	}
}

// equal says whether two histograms hold the same.
func equal(a, b *history.Histogram) bool {
	return maps.Equal(maps.Collect(a.ForEachBucket), maps.Collect(b.ForEachBucket))
}

// Percentiles of merged intervals are those of the concatenated requests: the merge is the same histogram.
func TestMergedIntervalsAreTheConcatenation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(1, int64(10*time.Second)), 1, 200).Draw(t, "ns")
		at := rapid.IntRange(0, len(values)).Draw(t, "split")
		of := func(vs []int64) history.Interval {
			i := history.Interval{Due: int64(len(vs)), OK: int64(len(vs)), Response: history.NewHistogram()}
			for _, v := range vs {
				_ = i.Response.RecordValue(v)
			}
			return i
		}
		merged, whole := of(values[:at]), of(values)
		merged.Merge(of(values[at:]))
		if !equal(merged.Response, whole.Response) || merged.OK != whole.OK {
			t.Fatalf("merge of %d and %d differs from the whole", at, len(values)-at)
		}
	})
}

func TestIntervalsSurviveTheirCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := interval(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "at")), rapid.Int64Range(0, 50).Draw(t, "ok"),
			rapid.Int64Range(0, 50).Draw(t, "refused"))
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got history.Interval
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.OK != want.OK || got.Failed() != want.Failed() || !equal(got.Response, want.Response) || got.Lag.TotalCount() != 0 {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func FuzzDecode(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "run")
	w, err := history.Create(dir, manifest(), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	_ = w.Event(history.Event{At: 1, Payload: event.TaskGone{Error: "x"}, Task: "rng.1#1"})
	_ = w.Close()
	events, _ := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	line, _ := json.Marshal(interval(5, 3, 1))
	f.Add(events)
	f.Add(append(line, '\n'))
	f.Add([]byte("{}\n[]\nnull\n{\"at\":"))
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeTwice[history.Event](t, data)
		decodeTwice[history.Reading](t, data)
		decodeTwice[history.Sample](t, data)
		values, _, err := history.DecodeLines[history.Interval](bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			v.Merge(interval(1, 1, 1))
		}
	})
}

// decodeTwice holds that what was decoded is written and read back unchanged.
func decodeTwice[T any](t *testing.T, data []byte) {
	first, _, err := history.DecodeLines[T](bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, v := range first {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	second, faults, err := history.DecodeLines[T](&out)
	if err != nil || len(faults) > 0 || len(first) != len(second) {
		t.Fatalf("%d values became %d, faults %q, %v", len(first), len(second), faults, err)
	}
	for i := range first {
		a, _ := json.Marshal(first[i])
		b, _ := json.Marshal(second[i])
		if !bytes.Equal(a, b) {
			t.Fatalf("%s became %s", a, b)
		}
	}
}

// A folder of the format's first form, from before intervals knew of replicas and versions, reads as it did then.
func TestAnOldFolderIsReadable(t *testing.T) {
	run, err := history.Open("testdata/format-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Warnings) > 0 || run.Status != history.Finished || len(run.Readings) != 12 || len(run.Loads) != 1 {
		t.Fatalf("warnings %q, status %q, %d readings, %d loads", run.Warnings, run.Status, len(run.Readings), len(run.Loads))
	}
	l := run.Loads[0]
	total := l.Total()
	if total.Due != 160 || total.OK != 148 || total.Failures[history.Refused] != 12 || total.Versions["v2"] == 0 || len(l.Samples) != 160 {
		t.Errorf("%d samples; the intervals hold %+v", len(l.Samples), total)
	}
	if total.MaxGap != l.Closing.MaxGap || total.MaxGap.Round(time.Millisecond) != 325*time.Millisecond {
		t.Errorf("the longest gap is %v", total.MaxGap)
	}
	for name, h := range map[string]*history.Histogram{"response": total.Response, "service": total.Service} {
		if p := time.Duration(h.ValueAtPercentile(50)); h.TotalCount() != 148 || p.Round(10*time.Microsecond) != 5*time.Millisecond {
			t.Errorf("%s: %d times, half of them within %v", name, h.TotalCount(), p)
		}
	}
	if total.Lag.TotalCount() != 160 || total.Lag.Max() != 0 {
		t.Errorf("lag: %d times, at most %v", total.Lag.TotalCount(), time.Duration(total.Lag.Max()))
	}
}

// Events that were written when they were strings by key, by every kind of step on a local cluster, and of a Swarm one of each form: each
// is of a known kind, and says now what it said then.
func TestOldEventsAreReadable(t *testing.T) {
	for dir, want := range map[string]struct{ events, kinds int }{"testdata/events-1": {164, 30}, "testdata/events-1-swarm": {24, 22}} {
		run, err := history.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		if len(run.Warnings) > 0 || run.Status != history.Finished || len(run.Events) != want.events || len(lines) != want.events {
			t.Fatalf("%s: warnings %q, status %q, %d events of %d", dir, run.Warnings, run.Status, len(run.Events), len(lines))
		}
		kinds := map[event.Kind]bool{}
		for i, e := range run.Events {
			var was struct{ Detail map[string]string }
			if err := json.Unmarshal([]byte(lines[i]), &was); err != nil {
				t.Fatal(err)
			}
			now := e.Detail()
			kinds[e.Payload.Kind()] = true
			for key, value := range was.Detail {
				if now[key] != value {
					t.Errorf("%s: %s: %s was %q, is %q", dir, e.Payload.Kind(), key, value, now[key])
				}
			}
			if _, unknown := e.Payload.(event.Unknown); unknown || e.Rest != nil {
				t.Errorf("%s: not known: %v", dir, e)
			}
		}
		if len(kinds) != want.kinds {
			t.Errorf("%s: %d kinds", dir, len(kinds))
		}
	}
}

// An event whose value is none is left out, and its file and line are named; what a newer version wrote stays as it is.
func TestEventsOfOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	write(t, dir)
	lines := `{"at":1,"kind":"task.killed","service":"rng","task":"rng.1#1","detail":{"down":"soon"}}
{"at":2,"kind":"task.teleported","task":"rng.1#1","detail":{"to":"mars"}}
{"at":3,"kind":"task.left","task":"rng.1#1","detail":{"why":"bored"}}
`
	if err := os.WriteFile(filepath.Join(dir, "events.jsonl"), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := `events.jsonl:1: task.killed: down is "soon"; accepted: a duration, such as 1.5s: left out`
	if len(run.Warnings) != 1 || run.Warnings[0] != want || len(run.Events) != 2 {
		t.Fatalf("warnings %q, events %v", run.Warnings, run.Events)
	}
	for i, line := range strings.Split(strings.TrimSpace(lines), "\n")[1:] {
		if again, err := json.Marshal(run.Events[i]); err != nil || string(again) != line {
			t.Errorf("%s\nis written again as %s, %v", line, again, err)
		}
	}
}
