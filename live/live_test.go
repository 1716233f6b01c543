package live_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/live"
)

// growing is a run that is being recorded, and the feed of it.
func growing(t *testing.T) (*history.Writer, *live.Feed) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	w, err := history.Create(dir, history.Manifest{Scenario: "smoke", Cluster: "sim", Start: time.Now()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	feed, err := live.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w, feed
}

// second records a second of a run.
func second(t *testing.T, w *history.Writer, n int) {
	t.Helper()
	begin := event.StepBegin{Verb: "wait", Title: fmt.Sprintf("step %d", n)}
	if err := w.Event(history.Event{At: time.Duration(n) * time.Second, Step: n + 1, Payload: begin}); err != nil {
		t.Fatal(err)
	}
}

// seen is what a page needs of a frame.
type seen struct {
	ID  string
	Now struct {
		Title string
		Step  int
	}
	Steps []any
}

func frames(t *testing.T, h http.Handler, after string) (all []seen) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/frames?after="+after, nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// A page that comes late, one that was there from the start, and one that lost its connection have the same in the end.
func TestFramesResumeWithoutGaps(t *testing.T) {
	w, feed := growing(t)
	h := feed.Handler(live.Config{})
	var ids []string
	for n := range 200 {
		second(t, w, n)
		feed.Step()
		got := frames(t, h, strings.Join(ids[max(0, len(ids)-1):], ""))
		if len(got) != 1 || got[0].Now.Step != n+1 {
			t.Fatalf("frame %d: %+v", n, got)
		}
		ids = append(ids, got[0].ID)
	}
	missed := frames(t, h, ids[150])
	if len(missed) != 49 || missed[0].ID != ids[151] || missed[48].ID != ids[199] {
		t.Errorf("after 49 frames were missed: %d", len(missed))
	}
	for what, after := range map[string]string{"a new page": "", "one that was away for long": ids[3], "one of another server": "other-150"} {
		got := frames(t, h, after)
		if len(got) != 1 || got[0].ID != ids[199] || len(got[0].Steps) != 200 {
			t.Errorf("%s: %d frames, %d steps", what, len(got), len(got[0].Steps))
		}
	}
	if got := frames(t, h, ids[199]); len(got) != 0 {
		t.Errorf("nothing was new: %d", len(got))
	}
}

// A line that is being written is not read before it is whole, and nothing is read twice.
func TestNothingNewMakesNoFrame(t *testing.T) {
	w, feed := growing(t)
	second(t, w, 0)
	feed.Step()
	id := frames(t, feed.Handler(live.Config{}), "")[0].ID
	feed.Step()
	if again := frames(t, feed.Handler(live.Config{}), "")[0].ID; again != id {
		t.Errorf("%s, then %s", id, again)
	}
}

func TestWhoMayAsk(t *testing.T) {
	w, feed := growing(t)
	second(t, w, 0)
	feed.Step()
	open, locked := feed.Handler(live.Config{Hosts: []string{"bench.example"}}), feed.Handler(live.Config{Token: "secret"})
	framed := feed.Handler(live.Config{Framed: true})
	for _, c := range []struct {
		name   string
		h      http.Handler
		method string
		url    string
		header [2]string
		want   int
	}{
		{"the page", open, "GET", "http://127.0.0.1:80/", [2]string{}, 200},
		{"by IPv6", open, "GET", "http://[::1]:7777/frames", [2]string{}, 200},
		{"by another address of this machine", open, "GET", "http://192.0.2.7:7777/frames", [2]string{}, 200},
		{"by a name that was allowed", open, "GET", "http://BENCH.example./frames", [2]string{}, 200},
		{"a name that was made to point here", open, "GET", "http://evil.example/frames", [2]string{}, 421},
		{"one that only begins like ours", open, "GET", "http://localhost.evil.example/", [2]string{}, 421},
		{"no name", open, "GET", "http:///frames", [2]string{}, 421},
		{"a command, of which there is none", open, "POST", "http://localhost/command", [2]string{"Content-Type", "application/json"}, 404},
		{"another site's form", open, "POST", "http://localhost/command", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another site's form, of an old browser", open, "POST", "http://localhost/stream", [2]string{"Origin", "http://evil.example"}, 403},
		{"a file of the module", open, "GET", "http://localhost/server.go", [2]string{}, 404},
		{"a way up", open, "GET", "http://localhost/..%2fserver.go", [2]string{}, 404},
		{"without the key", locked, "GET", "http://localhost/frames", [2]string{}, 403},
		{"with another key", locked, "GET", "http://localhost/stream", [2]string{live.TokenHeader, "secre"}, 403},
		{"with the key", locked, "GET", "http://localhost/frames", [2]string{live.TokenHeader, "secret"}, 200},
		{"the page in a frame of ours", framed, "GET", "http://localhost/", [2]string{}, 200},
		{"the page itself, which needs none", locked, "GET", "http://localhost/", [2]string{}, 200},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		got := httptest.NewRecorder()
		c.h.ServeHTTP(got, r)
		if got.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got.Code, got.Body, c.want)
		}
		ancestors, options := "'none';", "DENY"
		if c.name == "the page in a frame of ours" {
			ancestors, options = "'self';", "SAMEORIGIN"
		}
		for _, want := range [][2]string{
			{"Content-Security-Policy", "default-src 'none'"}, {"Content-Security-Policy", "frame-ancestors " + ancestors},
			{"Content-Security-Policy", "require-trusted-types-for 'script'"}, {"X-Frame-Options", options},
			{"X-Content-Type-Options", "nosniff"}, {"Referrer-Policy", "no-referrer"},
		} {
			if text := got.Header().Get(want[0]); !strings.Contains(text, want[1]) {
				t.Errorf("%s: %s is %q, without %s", c.name, want[0], text, want[1])
			}
		}
		if allowed := got.Header().Get("Access-Control-Allow-Origin"); allowed != "" {
			t.Errorf("%s: %s may read it", c.name, allowed)
		}
	}
}

// A record that nobody goes on with, though it has no end, is judged as it is, and its pages are told that this is all.
func TestEndOfARecordWithoutOne(t *testing.T) {
	w, _ := growing(t)
	second(t, w, 0)
	var finals []bool
	feed, err := live.Open(w.Dir(), func(_ string, final bool) (*capacity.Analysis, error) {
		finals = append(finals, final)
		return &capacity.Analysis{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	feed.Step()
	second(t, w, 1)
	feed.End()
	f, _, more := feed.Latest(1)
	if more != nil || f.Now.Step != 2 || f.Judged == nil || !f.Judged.Final || !finals[len(finals)-1] {
		t.Errorf("step %d, judged %+v after %v, more to come %v", f.Now.Step, f.Judged, finals, more != nil)
	}
}

// A stream begins with all there is, goes on frame by frame, and says when no more will come; there are sixteen, and no seventeenth.
func TestStreams(t *testing.T) {
	w, feed := growing(t)
	second(t, w, 0)
	feed.Step()
	server := httptest.NewServer(feed.Handler(live.Config{}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	connect := func() *http.Response {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	var events []*bufio.Scanner
	for range 16 {
		answer := connect()
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(answer.Status)
		}
		events = append(events, bufio.NewScanner(answer.Body))
	}
	if answer := connect(); answer.StatusCode != 503 {
		t.Errorf("the seventeenth: %s", answer.Status)
	}
	next := func(s *bufio.Scanner) (name string) {
		for s.Scan() && s.Text() != "" {
			if v, ok := strings.CutPrefix(s.Text(), "event: "); ok {
				name = v
			}
		}
		return name
	}
	for _, e := range events {
		if got := next(e); got != "frame" {
			t.Fatalf("the first event is %q", got)
		}
	}
	second(t, w, 1)
	feed.Step()
	feed.Finish(nil)
	for _, e := range events {
		if a, b, c := next(e), next(e), next(e); a != "frame" || b != "frame" || c != "end" {
			t.Fatalf("then %q, %q, %q", a, b, c)
		}
	}
}
