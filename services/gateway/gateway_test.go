package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"coinbench/services/gateway"
	"coinbench/services/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a name service and a network in memory: names have addresses, addresses have servers or are dead.
type fixture struct {
	mu    sync.Mutex
	names map[string][]string
	live  map[string]string // address of the gateway's view -> of a server
	asked []string          // addresses that were dialled
}

func (f *fixture) lookup(_ context.Context, host string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[host] == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return f.names[host], nil
}

func (f *fixture) dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	f.asked = append(f.asked, address)
	to, ok := f.live[address]
	f.mu.Unlock()
	if !ok {
		return nil, errors.New("connection refused: " + address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

func (f *fixture) set(name string, addresses ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name] = addresses
}

// replica answers with its name and version, and may hold requests until it is let go.
func (f *fixture) replica(t *testing.T, address, name, version string, hold <-chan struct{}, entered chan<- struct{}) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if hold != nil {
			entered <- struct{}{}
			<-hold
		}
		w.Header().Set("X-Coinbench-Replica", name)
		w.Header().Set("X-Coinbench-Version", version)
		io.WriteString(w, version+" "+r.Method+" "+r.URL.Path+" "+string(body))
	}))
	t.Cleanup(s.Close)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live[address] = s.Listener.Addr().String()
}

// start returns the gateway's address and its admin's, and a client that keeps its connections.
func start(t *testing.T, f *fixture) (front, admin string, client *http.Client) {
	g := gateway.New(settings.Settings{Upstreams: []string{"blue:80", "green:80"}}, f.dial, f.lookup)
	a := http.NewServeMux()
	g.Admin(a)
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // as package serve names every answer
		w.Header().Set("X-Coinbench-Replica", "gateway.1")
		w.Header().Set("X-Coinbench-Version", "v0.1")
		g.ServeHTTP(w, r)
	}))
	two := httptest.NewServer(a)
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return one.URL, two.URL, &http.Client{Transport: transport}
}

func newFixture() *fixture { return &fixture{names: map[string][]string{}, live: map[string]string{}} }

func ask(t *testing.T, client *http.Client, method, url, body string) (status int, text string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, strings.TrimSpace(string(b)), answer.Header
}

// What has begun ends where it is; what begins after the switch goes to the other set.
func TestSwitch(t *testing.T) {
	f := newFixture()
	hold, entered := make(chan struct{}), make(chan struct{})
	f.replica(t, "10.0.0.1:80", "hasher.1", "v1", hold, entered)
	f.replica(t, "10.0.0.2:80", "hasher.1", "v2", nil, nil)
	f.set("blue", "10.0.0.1")
	f.set("green", "10.0.0.2")
	front, admin, client := start(t, f)
	other := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	first := make(chan string)
	go func() {
		answer, err := other.Post(front+"/a", "text/plain", strings.NewReader("x"))
		if err != nil {
			first <- err.Error()
			return
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		first <- string(b)
	}()
	<-entered
	if status, text, _ := ask(t, client, "GET", admin+"/upstream", ""); status != 200 || text != "blue:80" {
		t.Errorf("in force: %d %s", status, text)
	}
	if status, text, _ := ask(t, client, "PUT", admin+"/upstream?addresses=1", "green:80"); status != 200 {
		t.Fatalf("the switch: %d %s", status, text)
	}
	for _, method := range []string{"GET", "POST"} {
		status, text, header := ask(t, client, method, front+"/b", "body")
		if want := "v2 " + method + " /b body"; status != 200 || text != want {
			t.Errorf("after the switch: %d %q, want %q", status, text, want)
		}
		if got := header.Values("X-Coinbench-Replica"); !slices.Equal(got, []string{"hasher.1"}) {
			t.Errorf("the replica is %q", got)
		}
		if got := header.Values("X-Coinbench-Version"); !slices.Equal(got, []string{"v2"}) {
			t.Errorf("the version is %q", got)
		}
	}
	close(hold)
	if got := <-first; got != "v1 POST /a x" {
		t.Errorf("what had begun ended with %q", got)
	}
}

// A client's connection outlives the switch.
func TestKeptConnection(t *testing.T) {
	f := newFixture()
	f.replica(t, "10.0.0.1:80", "hasher.1", "v1", nil, nil)
	f.replica(t, "10.0.0.2:80", "hasher.1", "v2", nil, nil)
	f.set("blue", "10.0.0.1")
	f.set("green", "10.0.0.2")
	front, admin, _ := start(t, f)
	dialled := 0
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled++
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	client, outside := &http.Client{Transport: transport}, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i, want := range []string{"v1", "v2", "v1"} {
		if i > 0 {
			colour := []string{"blue:80", "green:80"}[i%2]
			ask(t, outside, "PUT", admin+"/upstream", colour)
		}
		if _, text, _ := ask(t, client, "GET", front+"/", ""); !strings.HasPrefix(text, want) {
			t.Errorf("%q answers, want %s", text, want)
		}
	}
	if dialled != 1 {
		t.Errorf("%d connections, want one", dialled)
	}
}

// Dead addresses cost no request, whatever its method; an upstream that is all dead costs a 503.
func TestDeadAddresses(t *testing.T) {
	f := newFixture()
	f.replica(t, "10.0.0.3:80", "hasher.3", "v1", nil, nil)
	f.set("blue", "10.0.0.1", "10.0.0.2", "10.0.0.3")
	front, _, client := start(t, f)
	for range 20 {
		if status, text, _ := ask(t, client, "POST", front+"/", "x"); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	f.mu.Lock()
	firsts := map[string]bool{}
	for i, a := range f.asked {
		if i == 0 || f.asked[i-1] == "10.0.0.3:80" {
			firsts[a] = true
		}
	}
	f.live = map[string]string{}
	f.mu.Unlock()
	if len(firsts) != 3 { // chance alone does this once in a thousand times: 3 (2/3)^20
		t.Errorf("the first address was always one of %v", firsts)
	}
	status, text, header := ask(t, client, "GET", front+"/", "")
	if status != 503 || !strings.Contains(text, "refused") || header.Get("X-Coinbench-Replica") != "gateway.1" {
		t.Errorf("%d %q by %q", status, text, header.Get("X-Coinbench-Replica"))
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture()
	front, admin, client := start(t, f)
	if status, _, _ := ask(t, client, "GET", front+"/", ""); status != 503 {
		t.Errorf("without any upstream: %d", status)
	}
	f.set("green", "10.0.0.1", "10.0.0.2")
	for _, row := range []struct {
		query, upstream string
		status          int
		says            string
	}{
		{"", "elsewhere:80", 400, "blue:80, green:80"},
		{"", "blue:80", 409, "no such host"},
		{"?addresses=3", "green:80", 409, "2 of 3"},
		{"?addresses=2", "green:80", 200, "green:80"},
	} {
		status, text, _ := ask(t, client, "PUT", admin+"/upstream"+row.query, row.upstream)
		if status != row.status || !strings.Contains(text, row.says) {
			t.Errorf("PUT %s %s: %d %q; want %d with %q", row.query, row.upstream, status, text, row.status, row.says)
		}
	}
	// The first upstream that has an address is in force where none was put.
	if status, text, _ := ask(t, client, "GET", admin+"/upstream", ""); status != 200 || text != "green:80" {
		t.Errorf("%d %s", status, text)
	}
}
