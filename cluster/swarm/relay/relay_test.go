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
func pair(t *testing.T) (*Client, string) {
	t.Helper()
	in, toIn := io.Pipe()
	fromOut, out := io.Pipe()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(context.Background(), in, out, l) }()
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
	return c, l.Addr().String()
}

func TestDialReachesWhatTheRelayReaches(t *testing.T) {
	c, _ := pair(t)
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
	c, _ := pair(t)
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
	c, _ := pair(t)
	got, err := c.Resolve(t.Context(), "127.0.0.1")
	if err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := c.Resolve(t.Context(), "no.such.name.invalid"); err == nil {
		t.Error("no error for a name that there is not")
	}
}

func TestHost(t *testing.T) {
	c, _ := pair(t)
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

func TestGeneratorsGoTogether(t *testing.T) {
	c, address := pair(t)
	origin := time.Now().Add(-time.Minute)
	const copies = 3
	var wg sync.WaitGroup
	var mu sync.Mutex
	var starts []time.Time
	var orders []Order
	for i := range copies {
		wg.Go(func() {
			o, err := Meet(t.Context(), address, "load", fmt.Sprintf("node%d", i+1))
			if err != nil {
				t.Error(err)
				return
			}
			if d := o.Origin.Sub(origin).Abs(); d > o.Off+100*time.Millisecond {
				t.Errorf("the origin is %s off, more than %s", d, o.Off)
			}
			if want := fmt.Sprintf("work %d", o.Copy); string(o.Work) != want {
				t.Errorf("copy %d got %q", o.Copy, o.Work)
			}
			mu.Lock()
			defer mu.Unlock()
			starts, orders = append(starts, o.Start), append(orders, o)
		})
	}
	var came []string
	work := [][]byte{[]byte("work 1"), []byte("work 2"), []byte("work 3")}
	meeting, err := c.Gather(t.Context(), "load", work, origin, time.Second, func(_ int, who string) { came = append(came, who) })
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	meeting.Stop()
	for _, o := range orders {
		<-o.Stop
	}
	meeting.Close()
	if slices.Sort(came); !slices.Equal(came, []string{"node1", "node2", "node3"}) {
		t.Errorf("came: %v", came)
	}
	if len(starts) == copies {
		slices.SortFunc(starts, time.Time.Compare)
		if d := starts[copies-1].Sub(starts[0]); d > 500*time.Millisecond {
			t.Errorf("the starts are %s apart", d)
		}
	}
}

func TestMeetingEndsWithItsContext(t *testing.T) {
	c, _ := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := c.Gather(ctx, "load", make([][]byte, 1), time.Now(), 0, func(int, string) {}); err == nil {
		t.Error("nobody came, and no error")
	}
}
