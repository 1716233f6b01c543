package loadgen

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"coinbench/history"
)

const proxiedChild = "COINBENCH_TEST_PROXIED_CHILD"

// Proxies of the environment divert no load, on any way that a load can take. Go reads them once in a process and never for loopback, so a
// process of its own sends load to a name that only its resolver knows; net/http's default client there shows that the proxy would be
// asked.
func TestProxiesOfTheEnvironmentDivertNothing(t *testing.T) {
	if os.Getenv(proxiedChild) != "" {
		sendPastProxies(t)
		return
	}
	var mu sync.Mutex
	var seen []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method+" "+r.RequestURI)
		io.WriteString(w, "by the proxy")
	}))
	defer proxy.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestProxiesOfTheEnvironmentDivertNothing$", "-test.v")
	child.Env = append(os.Environ(), proxiedChild+"=1", "NO_PROXY=", "no_proxy=")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		child.Env = append(child.Env, name+"="+proxy.URL, strings.ToLower(name)+"="+proxy.URL)
	}
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"GET http://shop.test/control"}; !slices.Equal(seen, want) {
		t.Errorf("the proxy was asked for %q, want %q", seen, want)
	}
}

func sendPastProxies(t *testing.T) {
	r, err := (&http.Client{Timeout: time.Minute}).Get("http://shop.test/control")
	if err != nil {
		t.Fatal("the default client goes by the proxy of the environment:", err)
	}
	r.Body.Close()
	secure, plain := servers(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/", http.StatusFound)
		}
		fmt.Fprint(w, "straight")
	}))
	names := flippingDNS(t)
	names.set("127.0.0.1")
	at := func(s *httptest.Server, path string) string {
		scheme, _, _ := strings.Cut(s.URL, ":")
		return scheme + "://shop.test:" + strconv.Itoa(s.Listener.Addr().(*net.TCPAddr).Port) + path
	}
	for name, w := range map[string]Workload{
		"own":             {Clients: 1, Targets: []Target{{URL: at(plain, "/")}}},
		"own, TLS":        {Clients: 1, Targets: []Target{{URL: at(secure, "/")}}},
		"redirects":       {Clients: 1, Targets: []Target{{URL: at(plain, "/from")}}, Transport: Transport{Redirects: 2}},
		"HTTP/2":          {Clients: 1, Targets: []Target{{URL: at(secure, "/")}}, Transport: Transport{HTTP2: true}},
		"HTTP/2 in clear": {Clients: 1, Targets: []Target{{URL: at(plain, "/")}}, Transport: Transport{HTTP2: true}},
		"open":            {Schedule: "1000/s", Targets: []Target{{URL: at(plain, "/")}}},
		"vegeta":          {Schedule: "1000/s", Engine: Vegeta, Targets: []Target{{URL: at(plain, "/")}}},
		"vegeta, TLS":     {Schedule: "1000/s", Engine: Vegeta, Targets: []Target{{URL: at(secure, "/")}}},
	} {
		w.Transport.Insecure, w.Requests, w.MaxSamples = true, 5, 5
		var m memory
		if _, err := (Player{Resolver: names.resolver}).Run(t.Context(), w, time.Now(), &m); err != nil {
			t.Error(name, err)
			continue
		}
		for _, s := range m.samples {
			if s.Class != history.OK || s.Bytes != int64(len("straight")) {
				t.Errorf("%s: %q, %d bytes: %s", name, s.Class, s.Bytes, s.Error)
				break
			}
		}
		if len(m.samples) != 5 {
			t.Errorf("%s: %d requests", name, len(m.samples))
		}
	}
}
