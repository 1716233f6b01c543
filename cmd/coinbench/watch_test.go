package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/live"
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
	var read capacity.Analysis // as the page of a run reads it from result.json
	if err := json.Unmarshal([]byte(text(t, a)), &read); err != nil {
		t.Fatal(err)
	}
	if b.Judge(&read, true); text(t, b.Frame()) != text(t, f) {
		t.Error("the frame of what result.json says is another one")
	}

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
			if got.WidthS <= 1 && float64(got.AtS)+1 <= a.Run.LengthS && (got.Rate == nil || math.Abs(*got.Rate-p.Value) > 1e-4*max(1, p.Value)) {
				t.Errorf("second %d: %s, the report's chart has %v", int(p.AtS), text(t, got), p.Value)
				break
			}
		}
	}
}

// poll waits until an expression of JavaScript is true in the page.
func poll(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression)); err != nil {
		t.Fatalf("%s: %v", expression, err)
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

// The live page in a real browser, behind a proxy that gives it a prefix: of a simulated run it ends with what result.json says, also when
// it is loaded again; of a run that is recorded it goes on by itself; and a replica's name is text, whatever it holds.
func TestTheLivePageInABrowser(t *testing.T) {
	t.Parallel()
	ctx, faults := browser(t)
	var mu sync.Mutex
	var said []string
	err := chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			args, _ := json.Marshal(e.Args) // for the message of a failure
			said = append(said, fmt.Sprintf("%s %s", e.Type, args))
		case *log.EventEntryAdded: // what breaks the page's own policy is here
			said = append(said, e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(t.TempDir(), "run")
	if out, err := exec.Command("coinbench", "run", "testdata/browser.yaml", "--cluster", "sim", "--out", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want capacity.Analysis
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	feed, err := live.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	feed.Step()
	a, err := analyse(dir)
	if err != nil {
		t.Fatal(err)
	}
	feed.Finish(a)

	grows := filepath.Join(t.TempDir(), "grows")
	hostile := `<img src=x onerror="document.title='taken'">`
	w, err := history.Create(grows, history.Manifest{Scenario: hostile, Cluster: "local", Start: time.Now()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	say := func(at time.Duration, task string, p event.Payload) {
		if err := w.Event(history.Event{At: at, Step: 1, Service: hostile, Task: task, Payload: p}); err != nil {
			t.Fatal(err)
		}
	}
	say(0, "", event.RunBegin{Steps: 1, Objectives: []string{hostile}})
	say(1, "", event.StepBegin{Verb: "kill", Title: hostile, Disturbance: hostile})
	say(2, hostile+".1#1", event.TaskStarted{Version: hostile})
	say(3, hostile+".1#1", event.TaskJoined{})
	growing, err := live.Open(grows, nil)
	if err != nil {
		t.Fatal(err)
	}
	growing.Step()

	mux := http.NewServeMux()
	mux.Handle("/x/y/", http.StripPrefix("/x/y", feed.Handler(live.Config{})))
	mux.Handle("/grows/", http.StripPrefix("/grows", growing.Handler(live.Config{})))
	server := httptest.NewServer(mux)
	defer server.Close()

	seen := func(where string) {
		t.Helper()
		poll(t, ctx, `document.querySelector("#badge").textContent === "`+string(want.Overall.Outcome)+`"`)
		poll(t, ctx, `document.querySelector("#link").className === "link over"`)
		var got struct {
			Windows  []float64
			Loads    []map[string]any
			Replicas []capacity.Replica
			First    int
			Lines    int
		}
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`import("./live.js").then(({state}) => JSON.stringify({
			windows: state.judged.windows.map(w => w.per_s), replicas: state.replicas, first: state.points[0].t,
			loads: state.loads.map(l => ({name: l.name, due: l.due, ok: l.ok})),
			lines: document.querySelectorAll('path.line[d*="L"]').length}))`, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		for i, w := range want.Windows {
			if len(got.Windows) != len(want.Windows) || got.Windows[i] != w.HashRate.Value {
				t.Errorf("%s: the windows' rates are %v, %s has %v", where, got.Windows, w.Name, w.HashRate.Value)
			}
		}
		if len(got.Loads) != len(want.Loads) || len(want.Loads) == 0 {
			t.Fatalf("%s: %d loads, want %d", where, len(got.Loads), len(want.Loads))
		}
		for i, l := range want.Loads {
			if fmt.Sprint(got.Loads[i]) != fmt.Sprint(map[string]any{"name": l.Name, "due": l.Requests, "ok": l.OK}) {
				t.Errorf("%s: the load is %v, want %s %d %d", where, got.Loads[i], l.Name, l.Requests, l.OK)
			}
		}
		if !slices.Equal(got.Replicas, want.Timeline.Counts) || got.First != 0 || got.Lines < 3 {
			t.Errorf("%s: %+v", where, got)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/x/y/")); err != nil {
		t.Fatal(err)
	}
	seen("at first")
	if err := chromedp.Do(ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	seen("loaded again")
	if tip := eval[string](t, ctx, `{
		const chart = document.querySelector("svg.chart")
		chart.focus()
		chart.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true}))
		chart.closest("figure").querySelector(".tip").textContent
	}`); !strings.Contains(tip, "UTC") {
		t.Errorf("the cursor reads %q", tip)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(320, 800)); err != nil {
		t.Fatal(err)
	}
	if wide := eval[int](t, ctx, `document.documentElement.scrollWidth`); wide > 320 {
		t.Errorf("in a window of 320 the page is %d wide", wide)
	}

	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/grows/")); err != nil {
		t.Fatal(err)
	}
	poll(t, ctx, `document.querySelector("#badge").textContent === "RUNNING"`)
	say(2*time.Second, "", event.Warning{Message: "two " + hostile})
	growing.Step()
	poll(t, ctx, `document.querySelector("#events").textContent.includes("two <img src=x")`)
	if images := eval[int](t, ctx, `document.images.length`); images != 0 {
		t.Errorf("%d images", images)
	}
	if title := eval[string](t, ctx, `document.title`); title != hostile {
		t.Errorf("the title is %q", title)
	}
	growing.Finish(nil)
	poll(t, ctx, `document.querySelector("#link").className === "link over"`)
	aLabInABrowser(t, ctx)
	playInABrowser(t, ctx)
	mu.Lock()
	defer mu.Unlock()
	if all := append(said, faults()...); len(all) > 0 {
		t.Errorf("the browser says %q", all)
	}
}
