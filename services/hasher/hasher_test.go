package hasher

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

func TestHandler(t *testing.T) {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct {
		method, path, body string
		status             int
		contentType        string
		want               string
		delays             int
	}{
		{"GET", "/", "", 200, "text/html;charset=utf-8", "HASHER running on me\n", 0},
		{"HEAD", "/", "", 200, "text/html;charset=utf-8", "HASHER running on me\n", 0}, // the server drops the body
		{"POST", "/", "", 200, "text/plain;charset=utf-8", empty, 1},
		{"POST", "/", "hello", 200, "text/plain;charset=utf-8", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", 1},
		{"POST", "/", "12345678901", 413, "text/plain;charset=utf-8", "at most 10 bytes\n", 0},
		{"POST", "/other", "x", 404, "text/html;charset=utf-8", "<h1>Not Found</h1>", 0},
		{"GET", "/other", "", 404, "text/html;charset=utf-8", "<h1>Not Found</h1>", 0},
		{"PUT", "/", "x", 404, "text/html;charset=utf-8", "<h1>Not Found</h1>", 0}, // Sinatra knows no 405
	} {
		delays := 0
		w := httptest.NewRecorder()
		Handler("me", 10, func() { delays++ }).ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		if got := w.Body.String(); w.Code != test.status || w.Header().Get("Content-Type") != test.contentType || got != test.want ||
			delays != test.delays {
			t.Errorf("%s %s %q: %d %s %q, %d delays", test.method, test.path, test.body, w.Code, w.Header().Get("Content-Type"), got, delays)
		}
		if got := w.Header().Get("Content-Length"); got != fmt.Sprint(len(test.want)) {
			t.Errorf("%s %s: Content-Length %s", test.method, test.path, got)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s may be sniffed", test.method, test.path)
		}
	}
}

// A body of unknown length is bounded as well, and one that breaks off is the client's fault.
func TestBodiesOfUnknownLength(t *testing.T) {
	for _, test := range []struct {
		body   io.Reader
		status int
	}{
		{strings.NewReader("1234567890"), 200},
		{strings.NewReader("12345678901"), 413},
		{iotest.ErrReader(errors.New("gone")), 400},
	} {
		r := httptest.NewRequest("POST", "/", test.body)
		r.ContentLength = -1
		w := httptest.NewRecorder()
		Handler("me", 10, func() {}).ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%d, want %d", w.Code, test.status)
		}
	}
}

// Every body up to the limit gives its SHA-256 in 64 characters without a line end.
func TestHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "body")
		w := httptest.NewRecorder()
		Handler("me", 1000, func() {}).ServeHTTP(w, httptest.NewRequest("POST", "/", bytes.NewReader(body)))
		if want := fmt.Sprintf("%x", sha256.Sum256(body)); w.Body.String() != want {
			t.Fatalf("got %s, want %s", w.Body, want)
		}
	})
}

func TestAccessLog(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	r.RemoteAddr = "10.0.0.5:41000"
	got := accessLine(r, 200, 64, 101200*time.Microsecond)
	at := `\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]`
	if !regexp.MustCompile(`^10\.0\.0\.5 - - ` + at + ` "POST / HTTP/1\.1" 200 64 0\.1012$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}
