package rng

import (
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"testing"
)

func TestHandler(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
		contentType  string
		size         int // -1: whatever
		delays       int
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", len("RNG running on me\n"), 0},
		{"HEAD", "/", 200, "text/html; charset=utf-8", -1, 0},
		{"OPTIONS", "/", 200, "text/html; charset=utf-8", 0, 0},
		{"GET", "/32", 200, "application/octet-stream", 32, 1},
		{"GET", "/0", 200, "application/octet-stream", 0, 1},
		{"GET", "/007", 200, "application/octet-stream", 7, 1},
		{"GET", "/1000", 200, "application/octet-stream", 1000, 1},
		{"HEAD", "/32", 200, "application/octet-stream", 0, 1}, // the original runs the view
		{"GET", "/1001", 400, "text/plain; charset=utf-8", -1, 0},
		{"GET", "/99999999999999999999999", 400, "text/plain; charset=utf-8", -1, 0},
		{"GET", "/-1", 404, "text/html; charset=utf-8", -1, 0},
		{"GET", "/abc", 404, "text/html; charset=utf-8", -1, 0},
		{"GET", "/32/", 404, "text/html; charset=utf-8", -1, 0},
		{"GET", "/3.2", 404, "text/html; charset=utf-8", -1, 0},
		{"POST", "/abc", 404, "text/html; charset=utf-8", -1, 0},
		{"POST", "/", 405, "text/html; charset=utf-8", -1, 0},
		{"POST", "/32", 405, "text/html; charset=utf-8", -1, 0},
		{"DELETE", "/32", 405, "text/html; charset=utf-8", -1, 0},
	} {
		delays := 0
		w := httptest.NewRecorder()
		Handler("me", 1000, func() { delays++ }).ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		r := w.Result()
		b, _ := io.ReadAll(r.Body)
		if r.StatusCode != test.status || r.Header.Get("Content-Type") != test.contentType || delays != test.delays ||
			(test.size >= 0 && len(b) != test.size) {
			t.Errorf("%s %s: %d %s, %d bytes, %d delays; want %d %s, %d, %d", test.method, test.path,
				r.StatusCode, r.Header.Get("Content-Type"), len(b), delays, test.status, test.contentType, test.size, test.delays)
		}
		if r.StatusCode == 405 && r.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s %s: allow %q", test.method, test.path, r.Header.Get("Allow"))
		}
	}
}

// The body of GET / is the original's, and the bytes differ from call to call.
func TestBodies(t *testing.T) {
	h := Handler("c0ffee", 1000, func() {})
	get := func(path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Header().Get("Content-Length"); got != fmt.Sprint(w.Body.Len()) {
			t.Errorf("%s: %d bytes, Content-Length %s", path, w.Body.Len(), got)
		}
		return w.Body.String()
	}
	if got := get("/"); got != "RNG running on c0ffee\n" {
		t.Errorf("GET /: %q", got)
	}
	if first, second := get("/32"), get("/32"); first == second {
		t.Error("the same bytes twice")
	}
}

// The delay comes before the work: nothing is answered until it is over.
func TestDelayComesFirst(t *testing.T) {
	w := httptest.NewRecorder()
	Handler("me", 1000, func() {
		if w.Body.Len() > 0 {
			t.Error("an answer before the delay was over")
		}
	}).ServeHTTP(w, httptest.NewRequest("GET", "/32", nil))
}

func TestAccessLog(t *testing.T) {
	r := httptest.NewRequest("GET", "/32", nil)
	r.RemoteAddr = "10.0.0.5:41000"
	got := accessLine(r, 200, 32, 0)
	if !regexp.MustCompile(`^10\.0\.0\.5 - - \[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\] "GET /32 HTTP/1\.1" 200 -$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}
