package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	chrome "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
)

// deeds are the events of a run in their order, without what differs when it is played again: who asked, how long the wait was to be.
func deeds(t *testing.T, dir string) (all []string) {
	t.Helper()
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range run.Events {
		line := fmt.Sprintf("%d %s %s %s", e.Step, e.Payload.Kind(), e.Service, e.Task)
		switch p := e.Payload.(type) {
		case event.StepBegin:
			if line += " " + p.Verb; p.Verb != "wait" {
				line += " " + p.Title
			}
		case event.ServiceScaled, event.ServiceDeployed, event.TaskStarted, event.RolloutEnd:
			line += " " + text(t, p)
		}
		all = append(all, line)
	}
	return all
}

// left are the versions and the number of replicas of each service when its run ended.
func left(t *testing.T, dir string) map[string]string {
	t.Helper()
	run, err := history.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := capacity.Measure(run)
	var lives capacity.Lives
	all := map[string]string{}
	asked := map[string]int{}
	services := map[string]bool{}
	for _, e := range run.Events {
		if e.Payload.Kind() == (event.StepEnd{}).Kind() { // the last one, before the app is taken down
			all = map[string]string{}
			for name := range services {
				versions := map[string]int{}
				for _, l := range lives.Of(name) {
					if l.Serving(e.At.Seconds()) {
						versions[l.Version]++
					}
				}
				all[name] = fmt.Sprint(versions)
			}
		}
		lives.Add(e)
		if e.Task != "" {
			services[e.Service] = true
		}
	}
	for _, c := range a.Timeline.Counts {
		asked[c.Service] = c.Replicas
	}
	for name := range all {
		all[name] += fmt.Sprintf(" of %d", asked[name])
	}
	return all
}

// tabTo presses the Tab key until what a selector names has the focus.
func tabTo(t *testing.T, ctx context.Context, selector string) {
	t.Helper()
	for range 200 {
		if eval[bool](t, ctx, `document.activeElement.matches('`+selector+`')`) {
			return
		}
		if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("the Tab key does not reach %s", selector)
}

// tabThrough presses the Tab key from the page's first control to its last: each is reached, in the order in which they are read, and has a
// name and a visible focus.
func tabThrough(t *testing.T, ctx context.Context) {
	t.Helper()
	const controls = `[...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")].filter(e => e.checkVisibility())`
	n := eval[int](t, ctx, controls+`.length`)
	if n < 30 {
		t.Fatalf("%d controls", n)
	}
	eval[any](t, ctx, `getSelection().removeAllRanges(), document.activeElement.blur(), null`)
	for i := range n {
		if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
			t.Fatal(err)
		}
		if fault := eval[string](t, ctx, fmt.Sprintf(`{
			const want = %s[%d], e = document.activeElement, style = getComputedStyle(e), told = e => e.outerHTML.slice(0, 80)
			const name = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent || e.querySelector("title")?.textContent ||
				document.getElementById(e.getAttribute("aria-labelledby"))?.textContent
			e !== want ? told(e) + " instead of " + told(want) : !name ? told(e) + " has no name"
				: style.outlineStyle === "none" && style.boxShadow === "none" ? told(e) + " shows no focus" : ""
		}`, controls, i)); fault != "" {
			t.Fatalf("after %d presses of Tab: %s", i+1, fault)
		}
	}
}

// A session of ten clicks on a simulated cluster: saved by the page, it plays again with the same events in the same
// order, and leaves the app in the same state.
func playInABrowser(t *testing.T, ctx context.Context) {
	t.Helper()
	home := t.TempDir()
	dir, saved := filepath.Join(home, "session"), filepath.Join(home, "saved.yaml")
	command := exec.Command("coinbench", "play", "--cluster", "sim", "--out", dir, "--save", saved)
	errors, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	url := ""
	lines := bufio.NewScanner(errors)
	for url == "" && lines.Scan() {
		if at, found := strings.CutPrefix(lines.Text(), "play at "); found {
			url = at
		}
	}
	if url == "" {
		t.Fatalf("play ended without saying where it is: %v", lines.Err())
	}
	go io.Copy(io.Discard, errors) // so that it is never held up
	allow := func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, chrome.SetDownloadBehavior, chrome.SetDownloadBehaviorParams{
			Behavior: chrome.SetDownloadBehaviorBehaviorAllow, DownloadPath: home})
		return chromedp.Void{}, err
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), allow, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	if key := eval[string](t, ctx, `location.hash`); key != "" {
		t.Errorf("the key stays in the address: %s", key)
	}
	free := `document.querySelector(".busy")?.textContent === "each is a step of a scenario"`
	press := func(what string, expression string) {
		t.Helper()
		poll(t, ctx, free)
		eval[any](t, ctx, expression+`, null`)
		poll(t, ctx, `!(`+free+`)`)
		poll(t, ctx, `[...document.querySelectorAll(".controls output")].some(o => o.textContent.includes("`+what+`") && o.textContent.includes("done at"))`)
	}
	button := func(label string) string {
		return `document.querySelector('.controls [aria-label="` + label + `"]').click()`
	}
	byKey := func(what, label, key string) { // with the keyboard alone
		t.Helper()
		poll(t, ctx, free)
		tabTo(t, ctx, `[aria-label="`+label+`"]`)
		if err := chromedp.Do(ctx, chromedp.KeyEvent(key)); err != nil {
			t.Fatal(err)
		}
		poll(t, ctx, `[...document.querySelectorAll(".controls output")].some(o => o.textContent.includes("`+what+`") && o.textContent.includes("done at"))`)
		if !eval[bool](t, ctx, `document.activeElement.matches('[aria-label="`+label+`"]')`) {
			t.Errorf("%s: the focus was moved", what)
		}
	}
	form := func(name string, fields map[string]string) string {
		script := `{ const f = document.querySelector('form[aria-label="` + name + `"]'), set = (n, v) => { const e = f.elements[n]; e.value = v; e.dispatchEvent(new Event("change")); }; `
		for _, n := range []string{"verb", "service", "version", "setting", "value", "strategy", "parallelism", "amount", "replica", "for"} {
			if v, given := fields[n]; given {
				script += fmt.Sprintf("set(%q, %q); ", n, v)
			}
		}
		return `(() => ` + script + `f.requestSubmit(); })()`
	}
	poll(t, ctx, `[...document.querySelectorAll("#tiles div")].some(d => d.textContent === "objectives–none are set")`)
	tabThrough(t, ctx)
	press("scale rng to 2", button("one rng more"))
	press("scale worker to 2", button("one worker more"))
	press("scale worker to 3", button("one worker more"))
	press("attack POST hasher/ with 20/s", form("Load", map[string]string{"verb": "attack", "service": "hasher", "amount": "20"}))
	press("kill rng.2", form("Fault", map[string]string{"verb": "kill", "service": "rng", "replica": "2"}))
	press("update worker to coinbench/worker:v0.01", form("Update", map[string]string{"service": "worker", "version": "v0.01", "strategy": "all-at-once"}))
	press("roll worker back", button("rollback worker"))
	byKey("restart hasher", "restart hasher", "\r")
	byKey("scale rng to 1", "one rng less", " ")
	press("stop the load", `document.querySelector(".going button").click()`)

	poll(t, ctx, free)
	eval[any](t, ctx, `[...document.querySelectorAll(".actions button")].find(b => b.textContent.startsWith("Save")).click(), null`)
	poll(t, ctx, `document.querySelector(".actions output").textContent.startsWith("saved")`)
	for range 2 {
		eval[any](t, ctx, `document.querySelector(".end").click(), null`)
	}
	poll(t, ctx, `document.querySelector("#link").className === "link over"`)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		_ = command.Process.Signal(syscall.SIGQUIT)
		t.Fatal("it goes on after its end was asked for")
	}

	again := filepath.Join(home, "again")
	if out, err := exec.Command("coinbench", "run", saved, "--cluster", "sim", "--out", again).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	was, is := deeds(t, dir), deeds(t, again)
	if !slices.Equal(was, is) {
		t.Errorf("the session:\n%s\nplayed again:\n%s", strings.Join(was, "\n"), strings.Join(is, "\n"))
	}
	if a, b := left(t, dir), left(t, again); fmt.Sprint(a) != fmt.Sprint(b) || len(a) != 5 {
		t.Errorf("it left %v, played again %v", a, b)
	}
	page, err := os.ReadFile(filepath.Join(home, "play.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(file), strings.TrimSpace(string(page))) || strings.Count(string(page), "\n") < 20 {
		t.Errorf("the page saved\n%s\nand the program\n%s", page, file)
	}
}
