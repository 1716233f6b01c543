package webui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// fixed are counters that a test sets.
type fixed struct {
	coins  int64
	hashes *string
	err    error
}

func (f *fixed) Read(context.Context) (int64, *string, error) { return f.coins, f.hashes, f.err }

func ask(h http.Handler, method, path string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Result()
}

func body(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func TestRoutes(t *testing.T) {
	h := Handler(&fixed{}, log.New(io.Discard, "", 0), func() {})
	for _, test := range []struct {
		method, path string
		status       int
		contentType  string
	}{
		{"GET", "/", 302, "text/html; charset=utf-8"},
		{"GET", "/index.html", 200, "text/html; charset=utf-8"},
		{"HEAD", "/index.html", 200, "text/html; charset=utf-8"},
		{"GET", "/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/graph.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/icon.svg", 200, "image/svg+xml"},
		{"GET", "/json", 200, "application/json; charset=utf-8"},
		{"GET", "/files/", 404, "text/plain; charset=utf-8"},
		{"POST", "/json", 405, "text/plain; charset=utf-8"},
	} {
		r := ask(h, test.method, test.path)
		if r.StatusCode != test.status || r.Header.Get("Content-Type") != test.contentType {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, r.StatusCode, r.Header.Get("Content-Type"), test.status, test.contentType)
		}
	}
	if got := ask(h, "GET", "/").Header.Get("Location"); got != "/index.html" {
		t.Errorf("/ leads to %q", got)
	}
}

// The types are the original's: a number, a string or null, a number.
func TestJSON(t *testing.T) {
	some := "331"
	for _, test := range []struct {
		counters fixed
		want     string
	}{
		{fixed{}, `^\{"coins":0,"hashes":null,"now":\d+(\.\d{1,3})?\}$`},
		{fixed{coins: 21, hashes: &some}, `^\{"coins":21,"hashes":"331","now":\d+(\.\d{1,3})?\}$`},
	} {
		r := ask(Handler(&test.counters, log.New(io.Discard, "", 0), func() {}), "GET", "/json")
		if got := body(r); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestJSONWithoutRedis(t *testing.T) {
	var logged bytes.Buffer
	h := Handler(&fixed{err: errors.New("connection refused")}, log.New(&logged, "", 0), func() {})
	r := ask(h, "GET", "/json")
	if got := body(r); r.StatusCode != 503 || got != `{"error":"redis does not answer"}` {
		t.Errorf("%d %s", r.StatusCode, got)
	}
	if logged.String() != "Redis error connection refused\n" {
		t.Errorf("logged %q", logged.String())
	}
}

func TestRedisCounters(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	defer client.Close()
	c := redisCounters{client}

	if coins, hashes, err := c.Read(t.Context()); coins != 0 || hashes != nil || err != nil {
		t.Errorf("an empty Redis: %d, %v, %v", coins, hashes, err)
	}
	server.HSet("wallet", "0a", "x", "0b", "y")
	if coins, hashes, err := c.Read(t.Context()); coins != 2 || hashes != nil || err != nil {
		t.Errorf("coins only: %d, %v, %v", coins, hashes, err)
	}
	server.Set("hashes", "33")
	if coins, hashes, err := c.Read(t.Context()); coins != 2 || hashes == nil || *hashes != "33" || err != nil {
		t.Errorf("%d, %v, %v", coins, hashes, err)
	}
	server.Del("wallet")
	server.Set("wallet", "not a hash")
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("no error for a wallet that is not a hash")
	}
	server.Close()
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("no error without Redis")
	}
}

// The page needs nothing from anywhere else: no address is in it but those of namespaces.
func TestPageIsOffline(t *testing.T) {
	h := Handler(&fixed{}, log.New(io.Discard, "", 0), func() {})
	address := regexp.MustCompile(`(https?:)?//[\w.]+/?[\w./]*`)
	for _, path := range []string{"/index.html", "/style.css", "/graph.js", "/icon.svg"} {
		for _, found := range address.FindAllString(body(ask(h, "GET", path)), -1) {
			if !strings.HasPrefix(found, "http://www.w3.org/") {
				t.Errorf("%s refers to %s", path, found)
			}
		}
	}
	var state map[string]any
	if err := json.Unmarshal([]byte(body(ask(h, "GET", "/json"))), &state); err != nil || len(state) != 3 {
		t.Errorf("%v, %v", state, err)
	}
}
