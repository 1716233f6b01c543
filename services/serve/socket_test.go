package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"coinbench/services/hasher"
	"coinbench/services/rng"
	"coinbench/services/serve"
	"coinbench/services/settings"
)

const patience = 30 * time.Second

// server is a service on loopback.
type server struct {
	Listen, Admin string
	stop          chan os.Signal
	cancel        context.CancelFunc
	done          chan error
}

// announcement hands over what was written when it is closed.
type announcement struct {
	bytes.Buffer
	to chan []byte
}

func (a *announcement) Close() error { a.to <- a.Bytes(); return nil }

func serveOnLoopback(t *testing.T, service string, sleep func(time.Duration), env ...string) *server {
	t.Helper()
	all := map[string]string{"COIN_LISTEN": "127.0.0.1:0", "COIN_ADMIN_LISTEN": "127.0.0.1:0"}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		all[name] = value
	}
	s, err := settings.Parse(service, all)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &server{stop: make(chan os.Signal, 1), cancel: cancel, done: make(chan error, 1)}
	run := map[string]func(context.Context, settings.Settings, serve.Process) error{"rng": rng.Run, "hasher": hasher.Run}[service]
	told := make(chan []byte, 1)
	go func() {
		v.done <- run(ctx, s, serve.Process{Host: "host", Stop: v.stop, Sleep: sleep, Announce: &announcement{to: told}})
	}()
	select {
	case b := <-told:
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("announced %q: %v", b, err)
		}
	case err := <-v.done:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("nothing is announced")
	}
	t.Cleanup(func() {
		cancel()
		if err := <-v.done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "a healthy service", func() bool {
		return strings.HasPrefix(fetch(v.Admin, "/healthz"), "200 ok") || all["COIN_BOOT_DELAY"] != ""
	})
	return v
}

func fetch(address, path string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	r, err := client.Get("http://" + address + path)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", r.StatusCode, b)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// raw sends bytes and returns everything that comes until the server closes the connection.
func raw(t *testing.T, address, request string) string {
	t.Helper()
	c := dial(t, address)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%.40q: after %q: %v", request, b, err)
	}
	return string(b)
}

// rng speaks HTTP/1.0 and closes, whatever the client would like.
func TestSerialSpeaksHTTP10(t *testing.T) {
	v := serveOnLoopback(t, "rng", nil, "COIN_DELAY=0s", "COIN_REPLICA=rng.1#1", "COIN_VERSION=v7")
	for _, test := range []struct {
		request, status, header, body string
	}{
		{"GET / HTTP/1.1\r\nHost: rng\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200 OK", "Content-Length: 25", "RNG running on rng.1#1\n"},
		{"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "X-Coinbench-Replica: rng.1#1", "RNG running on rng.1#1\n"},
		{"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "X-Coinbench-Version: v7", "RNG running on rng.1#1\n"},
		{"HEAD / HTTP/1.1\r\nHost: rng\r\n\r\n", "HTTP/1.0 200 OK", "Content-Type: text/html; charset=utf-8", ""},
		{"HEAD /1000 HTTP/1.1\r\nHost: rng\r\n\r\n", "HTTP/1.0 200 OK", "Content-Length: 1000", ""},
		{"POST / HTTP/1.1\r\nHost: rng\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS", ""},
		{"rubbish\r\n\r\n", "HTTP/1.0 400 Bad Request", "Content-Type: text/plain; charset=utf-8", ""},
		{"GET / HTTP/1.1\r\nHost: rng\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", "HTTP/1.0 431 Request Header Fields Too Large",
			"Connection: close", ""},
	} {
		got := raw(t, v.Listen, test.request)
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		status, headers, _ := strings.Cut(head, "\r\n")
		wantHeader := strings.Replace(test.header, "Content-Length: 25", fmt.Sprintf("Content-Length: %d", len(test.body)), 1)
		if status != test.status || !strings.Contains(headers+"\r\n", wantHeader+"\r\n") || (test.body != "" && body != test.body) {
			t.Errorf("%.40q:\n%s\nwant %s, %s, %q", test.request, got, test.status, wantHeader, test.body)
		}
		if strings.HasPrefix(test.request, "HEAD") && body != "" {
			t.Errorf("%.40q: a body of %d bytes", test.request, len(body))
		}
	}
}

// The largest answer comes whole, though it is nowhere held in memory.
func TestSerialStreams(t *testing.T) {
	v := serveOnLoopback(t, "rng", nil, "COIN_DELAY=0s", "COIN_MAX_BYTES=8MiB")
	if got := fetch(v.Listen, "/8388608"); len(got) != 8<<20+4 {
		t.Errorf("%d bytes", len(got)-4)
	}
	if got := fetch(v.Listen, "/8388609"); got != "400 at most 8388608 bytes at a time\n" {
		t.Errorf("one byte more: %q", got)
	}
}

// A request whose client is gone before the server looks is served all the same, and costs its time.
func TestSerialServesAbandonedRequests(t *testing.T) {
	var sleeps atomic.Int64
	hold := make(chan struct{})
	v := serveOnLoopback(t, "rng", func(time.Duration) { sleeps.Add(1); <-hold })
	first := dial(t, v.Listen)
	io.WriteString(first, "GET /32 HTTP/1.0\r\n\r\n")
	eventually(t, "the first request in service", func() bool { return sleeps.Load() == 1 })
	for range 3 {
		c := dial(t, v.Listen)
		io.WriteString(c, "GET /32 HTTP/1.0\r\n\r\n")
		c.Close()
	}
	if runtime.GOOS == "linux" {
		eventually(t, "a queue of three", func() bool { return strings.Contains(fetch(v.Admin, "/metrics"), "\ncoinbench_queue_length 3\n") })
	}
	close(hold)
	eventually(t, "all four served", func() bool { return sleeps.Load() == 4 })
	eventually(t, "all four counted", func() bool {
		return strings.Contains(fetch(v.Admin, "/metrics"), `coinbench_requests_total{code="200",method="GET"} 4`)
	})
}

// A port check is no request.
func TestSerialDoesNotCountSilentConnections(t *testing.T) {
	v := serveOnLoopback(t, "rng", nil, "COIN_DELAY=0s")
	for range 3 {
		dial(t, v.Listen).Close()
	}
	fetch(v.Listen, "/32")                                   // after the others, so that these have been counted if they are
	eventually(t, "one request, and no other", func() bool { // it is counted when it has been answered
		return strings.Contains(fetch(v.Admin, "/metrics"), "\ncoinbench_request_service_seconds_count 1\n")
	})
}

func TestRefuseWhileBooting(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not run: package net cannot bind without listening")
	}
	for _, service := range []string{"rng", "hasher"} {
		v := serveOnLoopback(t, service, nil, "COIN_BOOT_DELAY=1h")
		if got := fetch(v.Admin, "/healthz"); got != "503 not ready\n" {
			t.Errorf("%s: /healthz: %q", service, got)
		}
		if c, err := net.DialTimeout("tcp", v.Listen, patience); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: a connection during the boot: %v, %v", service, c, err)
		}
		v.stop <- os.Interrupt
		select {
		case err := <-v.done:
			v.done <- err
		case <-time.After(patience):
			t.Errorf("%s does not stop while it boots", service)
		}
	}
}

// A service that exits resets the connections that waited, and ends the one in service without an answer.
func TestExitBreaksConnections(t *testing.T) {
	var sleeps atomic.Int64
	hold := make(chan struct{})
	defer close(hold)
	v := serveOnLoopback(t, "rng", func(time.Duration) { sleeps.Add(1); <-hold }, "COIN_ON_SIGTERM=exit")
	first := dial(t, v.Listen)
	io.WriteString(first, "GET /32 HTTP/1.0\r\n\r\n")
	eventually(t, "the first request in service", func() bool { return sleeps.Load() == 1 })
	second := dial(t, v.Listen)
	io.WriteString(second, "GET /32 HTTP/1.0\r\n\r\n")
	v.stop <- os.Interrupt
	err := <-v.done
	v.done <- err
	if b, err := io.ReadAll(first); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the request in service: %q, %v", b, err)
	}
	if b, err := io.ReadAll(second); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the request that waited: %q, %v; want a reset", b, err)
	}
}

// A draining serial server answers those who were in its queue when it was told.
func TestDrainServesTheQueue(t *testing.T) {
	var sleeps atomic.Int64
	hold := make(chan struct{})
	v := serveOnLoopback(t, "rng", func(time.Duration) { sleeps.Add(1); <-hold })
	var clients []net.Conn
	for range 4 {
		c := dial(t, v.Listen)
		io.WriteString(c, "GET /32 HTTP/1.0\r\n\r\n")
		clients = append(clients, c)
	}
	eventually(t, "the first request in service", func() bool { return sleeps.Load() == 1 })
	v.stop <- os.Interrupt
	eventually(t, "a draining service", func() bool { return fetch(v.Admin, "/healthz") == "503 not ready\n" })
	close(hold)
	for i, c := range clients {
		line, err := bufio.NewReader(c).ReadString('\n')
		if line != "HTTP/1.0 200 OK\r\n" {
			t.Errorf("client %d: %q, %v", i, line, err)
		}
	}
	err := <-v.done
	v.done <- err
}

func TestPoolSpeaksHTTP11(t *testing.T) {
	v := serveOnLoopback(t, "hasher", nil, "COIN_DELAY=0s", "COIN_MAX_BYTES=10")
	c := dial(t, v.Listen)
	in := bufio.NewReader(c)
	for i := range 3 { // on one connection
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: hasher\r\nContent-Length: 5\r\n\r\nhello")
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		b, _ := io.ReadAll(r.Body)
		if r.Proto != "HTTP/1.1" || r.StatusCode != 200 || string(b) != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
			t.Errorf("%s %s %q", r.Proto, r.Status, b)
		}
	}
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: hasher\r\nContent-Length: 11\r\n\r\nhello world",
		"POST / HTTP/1.1\r\nHost: hasher\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
	} {
		if got := raw(t, v.Listen, request); !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.HasSuffix(got, "at most 10 bytes\n") {
			t.Errorf("%q:\n%s", request, got)
		}
	}
}

// A busy port is said to be one, with the setting that changes it.
func TestBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{"COIN_LISTEN", "COIN_ADMIN_LISTEN"} {
		env := map[string]string{"COIN_LISTEN": "127.0.0.1:0", "COIN_ADMIN_LISTEN": "127.0.0.1:0"}
		env[name] = l.Addr().String()
		s, err := settings.Parse("rng", env)
		if err != nil {
			t.Fatal(err)
		}
		err = rng.Run(t.Context(), s, serve.Process{})
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
