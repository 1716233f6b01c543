package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/live/frame"
)

// frameIsTheReport compares the last frame of a run, which was followed by its record alone, with what its report says.
func frameIsTheReport(t *testing.T, dir string, a *capacity.Analysis) {
	t.Helper()
	tail, manifest, err := history.OpenTail(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := frame.New(manifest)
	if _, err := tail.Next(b); err != nil || tail.Unread() > 0 {
		t.Fatalf("%v, %d lines unread", err, tail.Unread())
	}
	b.Judge(a, true)
	f := b.Frame()

	if got, want := f.Now.AtS, a.Run.LengthS; got != want || f.Now.Status != a.Run.Status {
		t.Errorf("the frame ends %v at %v s, the run %v at %v s", f.Now.Status, got, a.Run.Status, want)
	}
	if len(f.Judged.Windows) != len(a.Windows) {
		t.Fatalf("%d windows, want %d", len(f.Judged.Windows), len(a.Windows))
	}
	for i, w := range a.Windows {
		got := f.Judged.Windows[i]
		same := got.PerS == nil && w.HashRate == nil || got.PerS != nil && w.HashRate != nil && *got.PerS == w.HashRate.Value
		if got.Name != w.Name || got.Complete != w.Complete || !same {
			t.Errorf("window %s: %+v", w.Name, got)
		}
	}
	loads := slices.Clone(f.Loads)
	slices.SortStableFunc(loads, func(x, y frame.Load) int { return cmp.Compare(x.BeginS, y.BeginS) })
	want := a.Loads[f.Left.Loads:]
	if len(loads) != len(want) {
		t.Fatalf("%d loads, want %d", len(loads), len(want))
	}
	for i, l := range want {
		got := loads[i]
		if got.Name != l.Name || got.Due != l.Requests || got.OK != l.OK || got.Due != got.OK+got.Failed || !maps.Equal(got.ByClass, l.Failures) {
			t.Errorf("load %s: %+v, want %d requests, %d ok, %v", l.Name, got, l.Requests, l.OK, l.Failures)
		}
	}
	if !slices.Equal(f.Counts, a.Timeline.Counts) {
		t.Errorf("replicas %v, want %v", f.Counts, a.Timeline.Counts)
	}
	lanes := map[string]string{}
	for _, l := range f.Lanes {
		lanes[l.Task] = text(t, l.TaskLife)
	}
	for _, r := range a.Rollouts {
		for _, task := range r.Tasks {
			if got := lanes[task.Task]; got != text(t, task) && f.Left.Lanes == 0 {
				t.Errorf("rollout %s: the life of %s is %s, want %s", r.Name, task.Task, got, text(t, task))
			}
		}
	}
	if a.Timeline.BinS == 1 {
		points := map[int]frame.Point{}
		for _, p := range b.All() {
			points[p.AtS] = p
		}
		for _, p := range a.Timeline.Rate {
			got := points[int(p.AtS)]
			if got.WidthS == 1 && float64(got.AtS)+1 <= a.Run.LengthS && (got.Rate == nil || math.Abs(*got.Rate-p.Value) > 1e-4*max(1, p.Value)) {
				t.Errorf("second %d: %s, the report's chart has %v", int(p.AtS), text(t, got), p.Value)
				break
			}
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
