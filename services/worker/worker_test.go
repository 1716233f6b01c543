package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store in memory.
type memory struct {
	hashes int
	wallet map[string]string
	err    error
}

func (m *memory) Count(_ context.Context, n int) error {
	m.hashes += n
	return m.err
}

func (m *memory) Keep(_ context.Context, hash string, random []byte) (bool, error) {
	_, had := m.wallet[hash]
	m.wallet[hash] = string(random)
	return !had, m.err
}

func (m *memory) Reset() {}

// app is an rng and a hasher of the test's making, and a worker for them that does not sleep.
type app struct {
	*worker
	store       *memory
	logged      bytes.Buffer
	connections atomic.Int64
}

func newApp(t *testing.T, rng, hasher http.HandlerFunc, env map[string]string) *app {
	t.Helper()
	a := &app{store: &memory{wallet: map[string]string{}}}
	all := map[string]string{"COIN_THINK": "0s"}
	for name, h := range map[string]http.HandlerFunc{"COIN_RNG_URL": rng, "COIN_HASHER_URL": hasher} {
		server := httptest.NewUnstartedServer(h)
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				a.connections.Add(1)
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		all[name] = server.URL
	}
	for k, v := range env {
		all[k] = v
	}
	s, err := settings.Parse("worker", all)
	if err != nil {
		t.Fatal(err)
	}
	p := serve.Process{}.WithDefaults()
	a.worker = &worker{settings: s, sleep: p.Sleep, client: client(s, p), store: a.store, log: log.New(&a.logged, "", 0), counts: newCounts()}
	t.Cleanup(a.client.CloseIdleConnections)
	return a
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// What the worker sends is what the original sends: 32 bytes of rng go to hasher, with their length and type.
func TestCalls(t *testing.T) {
	random := strings.Repeat("r", 32)
	var asked, posted string
	a := newApp(t,
		func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path
			io.WriteString(w, random)
		},
		func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			posted = fmt.Sprintf("%s %s %s %d %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.ContentLength, b)
			io.WriteString(w, "0123456789abcdef")
		}, nil)
	for range 2 {
		if err := a.once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked != "GET /32" || posted != "POST / application/octet-stream 32 "+random {
		t.Errorf("asked %q, posted %q", asked, posted)
	}
	if a.store.wallet["0123456789abcdef"] != random {
		t.Errorf("wallet: %v", a.store.wallet)
	}
	want := "INFO:__main__:Coin found: 01234567...\nINFO:__main__:Coin found: 01234567...\nINFO:__main__:We already had that coin\n"
	if got := a.logged.String(); got != want {
		t.Errorf("logged\n%s\nwant\n%s", got, want)
	}
}

// No status is an error: the page that says so is hashed, or is a hash.
func TestStatusIsIgnored(t *testing.T) {
	a := newApp(t, says(500, "Internal Server Error"), says(503, "0ops"), nil)
	if err := a.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.store.wallet["0ops"]; got != "Internal Server Error" {
		t.Errorf("wallet: %v", a.store.wallet)
	}
	if a.counts.posts != 1 || a.counts.coins != 1 {
		t.Errorf("%d posts, %d coins", a.counts.posts, a.counts.coins)
	}
	a = newApp(t, says(200, ""), says(404, ""), nil) // nor is an empty answer
	if err := a.once(t.Context()); err != nil || len(a.store.wallet) != 0 {
		t.Errorf("%v, wallet %v", err, a.store.wallet)
	}
}

// A new connection for each call, unless connections are to be kept.
func TestConnections(t *testing.T) {
	for keep, want := range map[string]int64{"false": 10, "true": 2} {
		a := newApp(t, says(200, "random"), says(200, "f00"), map[string]string{"COIN_KEEP_ALIVE": keep})
		for range 5 {
			if err := a.once(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.connections.Load(); got != want {
			t.Errorf("keep-alive %s: %d connections for ten calls, want %d", keep, got, want)
		}
	}
}

func TestResponseTimeout(t *testing.T) {
	hang := make(chan struct{})
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-hang }, says(200, ""), map[string]string{"COIN_RESPONSE_TIMEOUT": "20ms"})
	defer close(hang)
	if err := a.once(t.Context()); classify(err) != "timeout" {
		t.Errorf("%v is of class %s, want timeout", err, classify(err))
	}
}

func TestConnectTimeout(t *testing.T) {
	s, err := settings.Parse("worker", map[string]string{"COIN_CONNECT_TIMEOUT": "20ms"})
	if err != nil {
		t.Fatal(err)
	}
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, err = client(s, serve.Process{Dial: never}).Get("http://rng/32")
	if classify(err) != "timeout" {
		t.Errorf("%v is of class %s, want timeout", err, classify(err))
	}
}

func TestClassify(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("get: %w", &net.OpError{Op: "dial", Err: err}) }
	for _, test := range []struct {
		err  error
		want string
	}{
		{&redisError{io.EOF}, "redis"},
		{wrapped(&net.DNSError{Name: "rng", IsTimeout: true}), "dns"},
		{wrapped(os.ErrDeadlineExceeded), "timeout"},
		{wrapped(context.DeadlineExceeded), "timeout"},
		{wrapped(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "refused"},
		{wrapped(os.NewSyscallError("read", syscall.ECONNRESET)), "reset"},
		{wrapped(syscall.EPIPE), "reset"},
		{fmt.Errorf("read: %w", io.EOF), "eof"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "eof"},
		{errors.New("odd"), "other"},
	} {
		if got := classify(test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

// The log of an exception is the original's, and the exception forgets what was not flushed.
func TestException(t *testing.T) {
	calls := 0
	ctx, cancel := context.WithCancel(t.Context())
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls > 3 {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
	}, says(200, "f00"), nil)
	a.settings.Backoff = 10 * time.Second
	over := make(chan struct{})
	go func() { defer close(over); a.work(ctx, nil) }()
	for deadline, waits := time.Now().Add(30*time.Second), false; !waits; {
		if time.Now().After(deadline) {
			t.Fatal("no back-off within 30 s")
		}
		<-time.After(time.Millisecond)
		a.counts.mu.Lock()
		waits = a.counts.backingOff
		a.counts.mu.Unlock()
	}
	cancel()
	<-over
	if a.store.hashes != 0 || a.counts.lost != 3 || a.counts.unflushed != 0 || a.counts.errors["eof"] != 1 || a.counts.backoffs != 1 ||
		a.counts.backingOff {
		t.Errorf("%d hashes in Redis; %+v", a.store.hashes, a.counts)
	}
	want := `^INFO:__main__:0 units of work done, updating hash counter
ERROR:__main__:In work loop:
Get "http://127\.0\.0\.1:\d+/32": EOF
ERROR:__main__:Waiting 10s and restarting\.
$`
	if got := a.logged.String(); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("logged\n%s", got)
	}
}

// On a real connection: the keys and the types are the app's, and a connection that broke stays broken until Reset.
func TestRedisStore(t *testing.T) {
	server := miniredis.RunT(t)
	s, err := settings.Parse("worker", map[string]string{"COIN_HOSTS": "redis:6379=" + server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	store := dialRedis(s, serve.Process{}.WithDefaults())
	defer store.Close()
	ctx := t.Context()

	if err := store.Count(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := server.Get("hashes"); got != "0" {
		t.Errorf("the first flush leaves %q, want 0", got)
	}
	if err := store.Count(ctx, 4); err != nil {
		t.Fatal(err)
	}
	random := "\x00\xff\r\n binary"
	for i, want := range []bool{true, false} {
		if created, err := store.Keep(ctx, "0abc", []byte(random)); err != nil || created != want {
			t.Errorf("time %d: created %t, %v", i, created, err)
		}
	}
	if got, _ := server.Get("hashes"); got != "4" || server.HGet("wallet", "0abc") != random {
		t.Errorf("hashes %q, wallet %q", got, server.HGet("wallet", "0abc"))
	}

	server.Close()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Count(ctx, 1); err == nil {
			t.Error("a broken connection was hidden")
		}
	}
	store.Reset()
	if err := store.Count(ctx, 1); err != nil {
		t.Errorf("after Reset: %v", err)
	}
	if got, _ := server.Get("hashes"); got != "5" {
		t.Errorf("hashes %q, want 5", got)
	}
}
