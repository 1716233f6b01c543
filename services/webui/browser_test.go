package webui

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// counting are counters that go up by four with each reading.
type counting struct {
	mu sync.Mutex
	n  int
}

func (c *counting) Read(context.Context) (int64, *string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += 4
	text := strconv.Itoa(c.n)
	return int64(c.n / 16), &text, nil
}

// The page in a real browser: it polls, draws, shows a reset as a reset and reads out what is pointed at.
func TestPageInABrowser(t *testing.T) {
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" && os.Getenv("COINBENCH_GATE") != "" {
		t.Fatal("the gate needs a browser: install chromium")
	}
	if browser == "" || testing.Short() {
		t.Skip("not run: the page in a real browser, for want of Chromium")
	}
	server := httptest.NewServer(Handler(&counting{}, log.New(io.Discard, "", 0), func() {}))
	defer server.Close()

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	defer cancel()

	do := func(action chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, action); err != nil {
			t.Fatal(err)
		}
	}
	text := func(action chromedp.Action[string]) string {
		t.Helper()
		s, err := chromedp.Run(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	eventually := func(condition string) {
		t.Helper()
		if _, err := chromedp.Run(ctx, chromedp.Poll[bool](condition)); err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
	}

	do(chromedp.Navigate(server.URL + "/"))
	location := text(chromedp.Location())
	// it polls by itself
	eventually(`samples.length >= 2 && samples.length < 60 && document.getElementById("line").getAttribute("d") !== null`)
	eventually(`/^~[1-9]\d*\.\d hashes\/second$/.test(document.getElementById("speed").textContent)`)
	live := text(chromedp.Text("#status"))

	// From here on the test feeds it: a minute at 4 a second, then a Redis that was reset.
	eventually(`!waiting && (waiting = true)`) // between two polls: no more of them
	flat := text(chromedp.Evaluate[string](`
		samples = [];
		const feed = (now, hashes) => { const s = { now, hashes: String(hashes), coins: 1 }; add(s); label(s); draw(); };
		for (let i = 0; i < 60; i++) feed(1000 + i, 1000 + 4 * i);
		document.getElementById("speed").textContent`))
	mean := text(chromedp.Evaluate[string](`
		samples = [];
		for (let i = 0; i <= 5; i++) feed(2000 + i, 10 * i);
		const young = document.getElementById("mean-of").textContent + " " + document.getElementById("mean").textContent;
		samples = [];
		for (let i = 0; i < 60; i++) feed(1000 + i, 1000 + 4 * i);
		young`))
	after := text(chromedp.Evaluate[string](`feed(1060, 0); document.getElementById("speed").textContent`))
	spike := text(chromedp.Evaluate[string](`
		feed(1061, 4); feed(1062, 8);
		feed(1061.5, 9); // another server's clock
		Math.min(...samples.map(s => s.rate ?? 0)) + " to " + Math.max(...samples.map(s => s.rate ?? 0))`))
	resets := text(chromedp.Evaluate[string](`String(document.querySelectorAll("#marks line").length)`))
	do(chromedp.Focus("#graph"))
	do(chromedp.KeyEvent(kb.ArrowLeft + kb.ArrowLeft))
	readout := text(chromedp.Text("#readout"))

	if !strings.HasSuffix(location, "/index.html") || live != "live" {
		t.Errorf("at %s, %q", location, live)
	}
	if flat != "~4.0 hashes/second" || after != "counter was reset" || spike != "0 to 4" || resets != "1" {
		t.Errorf("speed %q, after the reset %q, speeds %s, %s resets; want ~4.0, a reset, no spike", flat, after, spike, resets)
	}
	if readout != "2 s ago: reset" {
		t.Errorf("readout %q, want 2 s ago: reset", readout)
	}
	if mean != "mean of 5 s 10.00/s" {
		t.Errorf("the mean of a page that is five seconds old is %q", mean)
	}

	// A server that is gone takes its numbers with it, until it is back.
	server.CloseClientConnections()
	server.Close()
	eventually(`waiting = false, document.getElementById("speed").textContent === "no data"`)
	lost := text(chromedp.Evaluate[string](`[document.getElementById("status").textContent.replace(/, for \d+ s/, ""),
		document.getElementById("mean").textContent, document.body.className, document.title].join("; ")`))
	if lost != "the server does not answer; –; lost; lost – DockerCoins miner" {
		t.Errorf("without a server: %s", lost)
	}
}
