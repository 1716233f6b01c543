package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser returns a tab of a real browser, and what went wrong in it: errors of scripts, and what the page loaded from
// anywhere but where it came from.
func browser(t *testing.T) (context.Context, func() []string) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("COINBENCH_GATE") != "" {
			t.Fatal("the gate needs a browser: install chromium")
		}
		t.Skip("not run: pages in a real browser, for want of Chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1200, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true)))
	t.Cleanup(cancel)

	var mu sync.Mutex
	var faults []string
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			mu.Lock()
			defer mu.Unlock()
			faults = append(faults, e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string {
		foreign, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](
			`performance.getEntriesByType("resource").map(e => e.name).filter(u => !u.startsWith("data:") && !(location.protocol !== "file:" && u.startsWith(location.origin)))`))
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return append(faults, foreign...)
	}
}

// eval is the value of an expression of JavaScript in the page.
func eval[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// The report, opened as a file without a network: it says the verdict first, shows its charts, and reads out a point.
func TestTheReportReadsInABrowser(t *testing.T) {
	t.Parallel()
	ctx, faults := browser(t)
	dir := filepath.Join(t.TempDir(), "run")
	out, err := exec.Command("coinbench", "run", "testdata/browser.yaml", "--cluster", "sim", "--out", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+filepath.Join(dir, "report.html"))); err != nil {
		t.Fatal(err)
	}
	heading := eval[string](t, ctx, `document.querySelector("h1").innerText`)
	charts := eval[int](t, ctx, `document.querySelectorAll("svg.chart").length`)
	tip := eval[string](t, ctx, `{
		const chart = document.querySelector("svg.chart")
		chart.focus()
		chart.dispatchEvent(new KeyboardEvent("keydown", {key: "End"}))
		chart.closest("figure").querySelector(".tip").textContent
	}`)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 800)); err != nil {
		t.Fatal(err)
	}
	width := eval[int](t, ctx, `document.documentElement.clientWidth`)
	scroll := eval[int](t, ctx, `document.documentElement.scrollWidth`)
	if !strings.HasPrefix(heading, "PASS") {
		t.Errorf("the first heading is %q, want the verdict", heading)
	}
	if charts == 0 || tip == "" {
		t.Errorf("%d charts, the last point of the first reads %q", charts, tip)
	}
	if scroll > width {
		t.Errorf("on a telephone the page is %d wide, its window %d", scroll, width)
	}
	if f := faults(); len(f) > 0 {
		t.Errorf("faults: %q", f)
	}
}
