package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"coinbench/history"
	"coinbench/loadgen"
)

// served is a server that scripts send load to, as $SERVER: / answers 32 bytes as one of two replicas in turn, /500 fails,
// /grow answers one byte more each time, /echo what it was sent.
type served struct{ requests atomic.Int64 }

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	w.Header().Set(loadgen.ReplicaHeader, fmt.Sprintf("rng.%d#1", n%2+1))
	switch r.URL.Path {
	case "/500":
		w.WriteHeader(http.StatusInternalServerError)
	case "/grow":
		fmt.Fprint(w, strings.Repeat("x", int(n)))
	case "/post":
		if r.Method != http.MethodPost || r.ContentLength != 5 || r.Header.Get("Content-Type") != "text/special" ||
			r.Header.Get("X-Extra") != "yes" {
			w.WriteHeader(http.StatusBadRequest)
		}
	default:
		fmt.Fprint(w, strings.Repeat("0", 32))
	}
}

// loadServer starts a server for a script.
func loadServer(env *testscript.Env) error {
	s := &served{}
	server := httptest.NewServer(s)
	env.Defer(server.Close)
	env.Setenv("SERVER", server.URL)
	// The near end of a connection: its port is taken, so that no other program can listen there in the meantime.
	near, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		return err
	}
	env.Defer(func() { near.Close() })
	env.Setenv("NOBODY", "http://"+near.LocalAddr().String())
	env.Values["served"] = s
	return nil
}

// expandFile FILE: the script's variables are put in.
func expandFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// measured COMMAND ARG...: the command ends with 0, or with 3 because its report says INVALID: on a busy machine the generator may
// be late, and must say so.
func measured(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: measured COMMAND ARG...")
	}
	if err := ts.Exec(args[0], args[1:]...); err != nil && (err.Error() != "exit status 3" ||
		!strings.Contains(ts.ReadFile("stdout")+ts.ReadFile("stderr"), "INVALID  ")) {
		ts.Fatalf("%v", err)
	}
}

// Ctrl-C ends a load early; it is reported, and recorded as interrupted.
func TestInterruptedLoad(t *testing.T) {
	s := &served{}
	server := httptest.NewServer(s)
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "run")
	for _, args := range [][]string{
		{"attack", "--rate", "50/s", "--duration", "5m", "--out", dir, server.URL},
		{"bench", "-t", "300", server.URL},
	} {
		before := s.requests.Load()
		var stdout strings.Builder
		c := exec.Command("coinbench", args...)
		c.Stdout = &stdout
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(5 * time.Millisecond)
		for end := time.Now().Add(time.Minute); s.requests.Load() < before+5 && time.Now().Before(end); {
			<-tick.C
		}
		tick.Stop()
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); exitCode(err) != exitUnmeasured {
			t.Errorf("%s: exit code %d, want %d", args[0], exitCode(err), exitUnmeasured)
		}
		if !strings.Contains(stdout.String(), "interrupted  it was stopped after") {
			t.Errorf("%s: its report:\n%s", args[0], stdout.String())
		}
	}
	if run, err := history.Open(dir); err != nil || run.Status != history.Interrupted || len(run.Loads) != 1 || run.Loads[0].Closing == nil {
		t.Errorf("%v: %+v", err, run)
	}
}

// While a load runs Prometheus can scrape it; when it has ended the port is closed.
func TestMetricsAreServed(t *testing.T) {
	server := httptest.NewServer(&served{})
	defer server.Close()
	var out, notes strings.Builder
	p := process{stdout: &out, stderr: &notes, secrets: new(secrets)}
	w := loadgen.Workload{Name: "a", Targets: []loadgen.Target{{URL: server.URL}}, Clients: 1, Requests: 7}
	l, err := startLoading(p, recordFlags{metrics: "127.0.0.1:0"}, "test", w)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	played, err := l.play(l.ctx, w, &summary{})
	if err != nil || played.Total.OK != 7 {
		t.Fatalf("%v: %+v", err, played.End)
	}
	_, url, _ := strings.Cut(strings.TrimSpace(notes.String()), "live metrics at ")
	url, _, _ = strings.Cut(url, "\n")
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(body), `coinbench_load_requests_total{class="ok",load="a",run="test/`+l.start.UTC().Format(stampFormat)+`"} 7`) ||
		!strings.Contains(string(body), "coinbench_load_response_seconds_bucket") {
		t.Errorf("%v: %s", err, body)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Error("the metrics are still served")
	}
}

// Clients without a server give up; as soon as one request has another end they go on.
func TestNobodyListens(t *testing.T) {
	second := func(due, refused int64) history.Interval {
		return history.Interval{Length: time.Second, Due: due, OK: due - refused, Failures: map[history.Class]int64{history.Refused: refused}}
	}
	for _, c := range []struct {
		first, then history.Interval
		want        bool
	}{{second(9, 9), second(9, 9), true}, {second(9, 8), second(9, 9), false}, {second(0, 0), second(0, 0), false}} {
		gave := false
		s := &summary{next: recorders{}, silent: func() { gave = true }}
		c.then.At = time.Second
		_ = s.Interval(c.first)
		if gave {
			t.Error("gave up after a second")
		}
		_ = s.Interval(c.then)
		if gave != c.want {
			t.Errorf("%+v, then %+v: gave up %v", c.first.Failures, c.then.Failures, gave)
		}
	}
}

func TestLiveText(t *testing.T) {
	i := history.Interval{At: 9 * time.Second, Length: time.Second, Due: 105, OK: 100, Response: history.NewHistogram(),
		Failures: map[history.Class]int64{history.Refused: 3, history.Dropped: 2}}
	_ = i.Response.RecordValues(int64(2*time.Millisecond), 100)
	if got, want := liveText(i), "  0:10      100.0 ok/s  p50  2.00 ms  p99  2.00 ms  5 failed (refused 3)"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := liveText(history.Interval{}); !strings.Contains(got, "0.0 ok/s") {
		t.Errorf("of nothing: %q", got)
	}
}

// A terminal has one line that is drawn anew, and nothing of it is left; elsewhere there are plain lines, and not too many.
func TestLiveLine(t *testing.T) {
	play := func(l *liveLine) {
		for s := range 25 {
			_ = l.Interval(history.Interval{At: time.Duration(s) * time.Second, Length: time.Second})
		}
		l.clear()
	}
	var plain strings.Builder
	play(newLiveLine(&plain))
	if n := strings.Count(plain.String(), "\n"); n != 3 || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("%d plain lines: %q", n, plain.String())
	}
	drawn := map[string]bool{}
	terminal := newTerminal(30, 5)
	terminal.after = func() { drawn[terminal.text()] = true }
	play(newLiveLine(terminal.screen()))
	if len(drawn) != 26 || !drawn["  0:25        0.0 ok/s  p50 …"] || terminal.text() != "" {
		t.Errorf("%d lines drawn, %q is left: %v", len(drawn), terminal.text(), drawn)
	}
}

func TestParseReuse(t *testing.T) {
	for text, want := range map[string]loadgen.Reuse{"keep": {}, "never": {PerRequest: true}, "100": {MaxRequests: 100},
		"30s": {MaxAge: 30 * time.Second}} {
		if got, err := parseReuse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "-1s", "always"} {
		if _, err := parseReuse(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, "0.5": 500 * time.Millisecond, "1m30s": 90 * time.Second} {
		var s seconds
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%s: %s, %v", text, s.String(), err)
		}
	}
	for _, text := range []string{"", "0", "-1", "-1s", "NaN", "Inf", "1e300", "soon"} {
		if err := new(seconds).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}
