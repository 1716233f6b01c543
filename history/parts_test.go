package history_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
)

// However many replicas answer, a load tells MaxParts of them apart, and of the others the version.
func TestPartsAreBounded(t *testing.T) {
	var names history.PartNames
	if id := names.ID("", ""); id != 0 {
		t.Errorf("an answer that names nothing is number %d", id)
	}
	first := names.ID("rng.1", "v1")
	for n := range 10_000 {
		names.ID(fmt.Sprint("rng.", n), "v1")
	}
	if id := names.ID("rng.1", "v1"); id != first {
		t.Errorf("rng.1 was number %d and is %d", first, id)
	}
	if replica, version := names.Names(names.ID("rng.5", "v2")); replica != history.Others || version != "v2" {
		t.Errorf("what came late is counted as %s of %s", replica, version)
	}
	most := 0
	for n := range 10_000 {
		most = max(most, names.ID(fmt.Sprint("x", n), fmt.Sprint("v", n)))
	}
	if most > 2*history.MaxParts+1 {
		t.Errorf("%d numbers", most)
	}
}

// What is recorded by replica and version adds up: after the codec, after merging, and by replica, by version or in all.
func TestPartsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (i history.Interval) {
			for range rapid.IntRange(0, 30).Draw(t, "requests") {
				p := i.Part(rapid.SampledFrom([]string{"", "rng.1", "rng.2"}).Draw(t, "replica"), rapid.SampledFrom([]string{"", "v1", "v2"}).Draw(t,
					"version"))
				i.Due++
				if rapid.Bool().Draw(t, "ok") {
					i.OK++
					p.OK++
					d := time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "ns"))
					history.Observe(&p.Response, d)
					history.Observe(&i.Response, d)
				} else {
					p.Merge(history.Part{Failures: map[history.Class]int64{history.Refused: 1}})
				}
			}
			return i
		}
		a, b := draw(), draw()
		due, ok := a.Due+b.Due, a.OK+b.OK
		data, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var sum history.Interval
		if err := json.Unmarshal(data, &sum); err != nil {
			t.Fatal(err)
		}
		sum.Merge(b)
		all := sum.Of(func(string, string) bool { return true })
		if all.OK != ok || all.OK+all.Failed() != due || !equal(all.Response, sum.Response) {
			t.Fatalf("the parts of %d requests, %d of them good, hold %d and %d", due, ok, all.OK+all.Failed(), all.OK)
		}
		var byReplica history.Part
		for _, replica := range []string{"", "rng.1", "rng.2"} {
			byReplica.Merge(sum.Of(func(r, _ string) bool { return r == replica }))
		}
		if byReplica.OK != all.OK || !equal(byReplica.Response, all.Response) || byReplica.Failed() != all.Failed() {
			t.Fatalf("by replica %+v, in all %+v", byReplica, all)
		}
		if !reflect.DeepEqual(sum.Parts, sorted(sum.Parts)) {
			t.Fatalf("out of order: %+v", sum.Parts)
		}
	})
}

// sorted are the same parts, put into an empty interval.
func sorted(parts []history.Part) []history.Part {
	var i history.Interval
	for n := range parts {
		p := parts[len(parts)-1-n]
		*i.Part(p.Replica, p.Version) = p
	}
	return i.Parts
}
