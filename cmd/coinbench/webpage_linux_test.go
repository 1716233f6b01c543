package main

import (
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"coinbench/history"
	"coinbench/history/event"
)

// The web page of the app, while the app mines: its graph is drawn and its label says the speed.
func TestTheWebPageDrawsTheHashRate(t *testing.T) {
	t.Parallel()
	ctx, faults := browser(t)
	s := start(t, filepath.Join(t.TempDir(), "run"))
	s.mining(t)
	run, err := history.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	address := ""
	for _, e := range run.Events {
		if p, ok := e.Payload.(event.TaskStarted); ok && e.Service == "webui" {
			address = p.Address
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+address+"/")); err != nil {
		t.Fatal(err)
	}
	moving := `/^~[1-9][0-9]*\.[0-9] hashes\/second$/.test(document.querySelector("#speed").textContent)`
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](moving)); err != nil {
		t.Fatal(err)
	}
	drawn := `document.querySelector("#line").getAttribute("d").includes("L")` // from the second point on
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](drawn)); err != nil {
		t.Errorf("the graph has no line: %v", err)
	}
	if f := faults(); len(f) > 0 {
		t.Errorf("faults: %q", f)
	}
}
