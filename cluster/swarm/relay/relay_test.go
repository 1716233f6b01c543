package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"coinbench/cluster/host"
)

// pair is a relay and a client of it, joined by pipes as by a container's standard streams.
func pair(t *testing.T) *Client {
	t.Helper()
	in, toIn := io.Pipe()
	fromOut, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(context.Background(), in, out) }()
	c := NewClient(Stream(fromOut, toIn, func() { toIn.Close(); fromOut.Close() }))
	t.Cleanup(func() {
		c.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		in.Close()
		out.Close()
		goleak.VerifyNone(t)
	})
	return c
}

func TestDialReachesWhatTheRelayReaches(t *testing.T) {
	c := pair(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d", r.URL.Path, len(body))
	}))
	t.Cleanup(server.Close)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			transport := &http.Transport{DialContext: c.Dial, DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: time.Minute}
			for range 3 {
				answer, err := client.Post(server.URL+"/x", "text/plain", strings.NewReader(strings.Repeat("a", 100_000)))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || string(body) != "/x 100000" {
					t.Errorf("%q, %v", body, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDialSaysWhyNot(t *testing.T) {
	c := pair(t)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	address := l.Addr().String()
	l.Close()
	if _, err := c.Dial(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), "refused") ||
		!strings.Contains(err.Error(), address) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Dial(ctx, "tcp", address); err == nil {
		t.Error("a dial with a context that is done succeeds")
	}
}

func TestResolve(t *testing.T) {
	c := pair(t)
	got, err := c.Resolve(t.Context(), "127.0.0.1")
	if err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := c.Resolve(t.Context(), "no.such.name.invalid"); err == nil {
		t.Error("no error for a name that there is not")
	}
}

func TestHost(t *testing.T) {
	c := pair(t)
	values, kernel, err := c.Host(t.Context())
	if err != nil || kernel != host.Kernel() {
		t.Errorf("the kernel is %q, want %q: %v", kernel, host.Kernel(), err)
	}
	for name := range host.Counters() {
		if _, ok := values[name]; !ok {
			t.Errorf("no %s in %v", name, values)
		}
	}
}
