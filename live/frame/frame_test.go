package frame_test

import (
	"encoding/json"
	"math"
	"reflect"
	"runtime"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/live/frame"
)

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func builder() *frame.Builder {
	return frame.New(history.Manifest{Scenario: "smoke", Cluster: "sim", Start: start})
}

// record plays a run of so many seconds in virtual time: two workers that complete five loops a second each, one rng of one slot that is
// half busy, and a load of 100 requests a second of which one in ten is refused from second 10 on.
func record(to history.Follower, seconds int) {
	say := func(at float64, service, task string, p event.Payload) {
		to.Event(history.Event{At: time.Duration(at * 1e9), Step: 1, Service: service, Task: task, Payload: p})
	}
	say(0, "", "", event.RunBegin{Scenario: "smoke", Steps: 1, Objectives: []string{"hash_rate(w) > 1"}})
	say(0, "", "", event.StepBegin{Verb: "deploy", Title: "deploy"})
	say(0, "rng", "", event.ServiceDeployed{InForce: event.InForce{Replicas: 1}})
	say(0, "rng", "rng.1#1", event.TaskStarted{Version: "v1"})
	say(.1, "rng", "rng.1#1", event.TaskHealthy{})
	say(.1, "rng", "rng.1#1", event.TaskJoined{})
	to.Load(0, history.LoadSpec{Name: "users", Service: "rng"})
	for s := range seconds {
		at := time.Duration(s+1) * time.Second
		for _, task := range []string{"worker.1#1", "worker.2#1"} {
			to.Reading(history.Reading{At: at, Service: "worker", Task: task, Values: history.ValuesOf(map[string]float64{history.Hashes: 5 * float64(s+1),
				history.LastHash: float64(start.Unix()) + float64(s+1)})})
		}
		to.Reading(history.Reading{At: at, Service: "rng", Task: "rng.1#1", Values: history.ValuesOf(map[string]float64{history.Busy: .5 * float64(s+1),
			history.Concurrency: 1, history.QueueLength: 3})})
		to.Reading(history.Reading{At: at, Service: "redis", Task: "redis.1#1", Values: history.ValuesOf(map[string]float64{history.RedisHashes: 10 * float64(s+1)})})
		i := history.Interval{At: at - time.Second, Length: time.Second, Due: 100, OK: 100}
		if s >= 10 {
			i.OK, i.Failures = 90, map[history.Class]int64{history.Refused: 10}
		}
		for n := range i.OK {
			history.Observe(&i.Response, time.Duration(n+1)*time.Millisecond)
			history.Observe(&i.Lag, time.Microsecond)
		}
		to.Interval(0, i)
	}
}

func TestAFrameSaysWhatWasRecorded(t *testing.T) {
	b := builder()
	record(b, 20)
	f := b.Frame()
	if f.Now.AtS != 20 || f.Now.Title != "deploy" || *f.Now.Rate != 10 || *f.Now.Stored != 10 || *f.Now.OKPerS != 90 || f.Now.Failed != 100 {
		t.Errorf("now is %+v", f.Now)
	}
	if l := f.Loads[0]; l.Due != 2000 || l.OK != 1900 || l.ByClass[history.Refused] != 100 || l.Due != l.OK+l.Failed {
		t.Errorf("the load is %+v", l)
	}
	s := f.Services[0]
	if s.Name != "rng" || s.Asked != 1 || s.Serving != 1 || s.Versions["v1"] != 1 || *s.Busy != .5 || *s.Queue != 3 {
		t.Errorf("rng is %+v", s)
	}
	for _, p := range b.All()[1:] {
		if *p.Rate != 10 || p.Stations["rng"] != (frame.Use{Busy: .5, Queue: 3}) {
			t.Fatalf("second %d: rate %v, rng %+v", p.AtS, *p.Rate, p.Stations["rng"])
		}
	}
	last := b.All()[19].Traffic["rng"]
	if last.OK != 90 || last.Failed != 10 || math.Abs(*last.P50S-.045) > 1e-4 || math.Abs(*last.P99S-.09) > 1e-4 {
		t.Errorf("the last second's traffic is %+v", last)
	}
}

// Whoever takes each frame, second by second, has the same as somebody who comes at the end: whatever was merged in between.
func TestTakenPointsAddUpToAll(t *testing.T) {
	b := builder()
	var have []frame.Point
	taken := 0
	take := func() {
		from, points := b.Take()
		for len(have) > 0 && have[len(have)-1].AtS >= from {
			have = have[:len(have)-1]
		}
		have = append(have, points...)
		taken += len(points)
	}
	each := &everySecond{b, take}
	record(each, 7200)
	take()
	all := b.All()
	if len(all) > frame.Points || len(all) < frame.Points/4 {
		t.Errorf("%d points", len(all))
	}
	if !reflect.DeepEqual(have, all) {
		t.Errorf("taken one by one there are %d points, at the end %d", len(have), len(all))
	}
	if perFrame := float64(taken) / 7200; perFrame > 8 {
		t.Errorf("%.1f points in an average frame", perFrame)
	}
	at := 0
	requests := int64(0)
	for _, p := range all {
		if p.AtS != at {
			t.Fatalf("a point begins at %d s, the one before ends at %d", p.AtS, at)
		}
		at += p.WidthS
		requests += p.Traffic["rng"].OK + p.Traffic["rng"].Failed
	}
	if at != 7200 || requests != 720_000 {
		t.Errorf("the points cover %d s and %d requests", at, requests)
	}
}

// everySecond calls after each second of the load.
type everySecond struct {
	*frame.Builder
	then func()
}

func (e *everySecond) Interval(n int, i history.Interval) {
	e.Builder.Interval(n, i)
	e.then()
}

// Of a second that differs from its neighbours, the extremes stay when it is merged.
func TestMergedPointsKeepExtremes(t *testing.T) {
	b := builder()
	hashes := 0.0
	for s := range 4000 {
		if s != 100 { // in second 100 nothing is completed
			hashes += 10
		}
		b.Reading(history.Reading{At: time.Duration(s+1) * time.Second, Service: "worker", Task: "worker.1#1", Values: history.ValuesOf(map[string]float64{
			history.Hashes: hashes, history.LastHash: float64(start.Unix()) + float64(s+1)})})
	}
	found := false
	for _, p := range b.All() {
		if p.AtS <= 100 && 100 < p.AtS+p.WidthS {
			found = p.WidthS == 4 && *p.Least == 0 && *p.Most == 10 && *p.Rate == 7.5
		}
	}
	if !found {
		t.Error("the second without a loop is lost")
	}
}

// Where nothing is read any more, as while the app is taken down, there are points as well.
func TestPointsReachToTheEnd(t *testing.T) {
	b := builder()
	record(b, 3)
	b.Event(history.Event{At: 9500 * time.Millisecond, Payload: event.RunEnd{Status: "ok"}})
	if all := b.All(); len(all) != 10 || all[8].Rate == nil || *all[8].Rate != 0 {
		t.Errorf("%+v", all)
	}
}

// However long the run, what is kept and what is sent is bounded.
func TestMemoryIsBounded(t *testing.T) {
	size := func(seconds int) (heap uint64, snapshot int) {
		b := builder()
		record(b, seconds)
		data, err := json.Marshal(struct {
			frame.Frame
			Points []frame.Point
		}{b.Frame(), b.All()})
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		runtime.KeepAlive(b)
		return m.HeapAlloc, len(data)
	}
	before, full := size(3600)
	after, late := size(7200)
	if after > before*12/10+1<<20 || late > full*12/10 {
		t.Errorf("after 3,600 s the heap is %d and a snapshot %d bytes, after 7,200 s %d and %d", before, full, after, late)
	}
}

// Instants that no run has, in a record that is not whole, cost neither memory nor a panic.
func TestInstantsOfNoRun(t *testing.T) {
	b := builder()
	record(b, 3)
	for _, at := range []time.Duration{-time.Hour, math.MaxInt64, math.MinInt64} {
		b.Reading(history.Reading{At: at, Service: "rng", Task: "rng.1#1", Values: history.ValuesOf(map[string]float64{history.Concurrency: 1})})
		b.Interval(0, history.Interval{At: at, Due: 1, OK: 1})
		b.Event(history.Event{At: at, Payload: event.WindowEnd{Name: "never begun"}})
	}
	b.Take()
	if n := len(b.All()); n > frame.Points {
		t.Errorf("%d points", n)
	}
}
