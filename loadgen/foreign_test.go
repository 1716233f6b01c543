package loadgen

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"coinbench/history"
)

func TestForeignTransports(t *testing.T) {
	handler := http.NewServeMux()
	handler.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ReplicaHeader, r.Proto)
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, "hello"+string(b))
	})
	handler.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/to", http.StatusFound) })
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewUnstartedServer(handler)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		io.WriteString(w, "proxy")
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter

	for _, c := range []struct {
		name      string
		url       string
		transport Transport
		proto     string
		class     history.Class
	}{
		{"https", secure.URL, Transport{Insecure: true}, "HTTP/1.1", ""},
		{"https, unknown certificate", secure.URL, Transport{}, "", history.ConnectFailed},
		{"https, HTTP/2", secure.URL, Transport{Insecure: true, HTTP2: true}, "HTTP/2.0", ""},
		{"HTTP/2 in the clear", plain.URL, Transport{HTTP2: true}, "HTTP/2.0", ""},
		{"redirect", plain.URL + "/from", Transport{Redirects: 1}, "HTTP/1.1", ""},
		{"redirect as an answer", plain.URL + "/from", Transport{Insecure: true}, "", history.WrongLength},
		{"proxy", "http://127.0.0.1:1/", Transport{Proxy: proxy.URL}, "", ""},
		{"refused", "http://127.0.0.1:1/", Transport{HTTP2: true}, "", history.Refused},
	} {
		for _, open := range []bool{false, true} {
			w := Workload{Targets: []Target{{URL: c.url}}, Requests: 20, Transport: c.transport, Expect: Expect{Length: 5}, MaxSamples: 100}
			if w.Clients = 4; open {
				w.Clients, w.Schedule = 0, "1000/s"
			}
			var m memory
			end, err := Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(c.name, err)
			}
			checkConservation(t, w, end, &m)
			sum := m.total()
			if got := sum.Failures[c.class]; c.class != "" && got != 20 {
				t.Errorf("%s: %v, want 20 of %q (%s)", c.name, sum.Failures, c.class, m.samples[0].Error)
			}
			if c.class == "" && sum.OK != 20 {
				t.Errorf("%s: %v (%s)", c.name, sum.Failures, m.samples[0].Error)
			}
			if c.proto != "" && sum.Replicas[c.proto] != 20 {
				t.Errorf("%s: protocols %v, want %s", c.name, sum.Replicas, c.proto)
			}
		}
	}
	if proxied.Load() != 40 {
		t.Errorf("the proxy saw %d requests, want 40", proxied.Load())
	}
}

// Through net/http every fault has the same class as in our own loop, and nothing is sent twice.
func TestForeignFaultsHaveTheSameClass(t *testing.T) {
	target := faulty(t)
	for path, want := range faults {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			w := Workload{Targets: []Target{{URL: target + path}}, Clients: 1, Requests: 1, Transport: Transport{Redirects: 1},
				Expect:   Expect{Length: 5, Body: []byte("hello")},
				Timeouts: Timeouts{Header: 300 * time.Millisecond, Body: 300 * time.Millisecond}}
			var m memory
			if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
				t.Fatal(err)
			}
			if s := m.samples[0]; s.Class != want {
				t.Errorf("class %q (%s), want %q", s.Class, s.Error, want)
			}
		})
	}
	t.Run("once", func(t *testing.T) {
		var m memory
		w := Workload{Targets: []Target{{URL: target + "/once"}}, Clients: 1, Requests: 4, Transport: Transport{Redirects: 1}}
		if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
			t.Fatal(err)
		}
		for i, s := range m.samples {
			if want := []history.Class{history.OK, history.ClosedReused}[i%2]; s.Class != want {
				t.Errorf("request %d: %q (%s), want %q", i, s.Class, s.Error, want)
			}
		}
	})
}

func TestHTTPSPort(t *testing.T) {
	for text, want := range map[string]string{"http://a/": "a:80", "https://a/": "a:443", "http://[::1]:5/": "[::1]:5"} {
		u, err := url.Parse(text)
		if err != nil || hostPort(u) != want {
			t.Errorf("%s goes to %s, want %s", text, hostPort(u), want)
		}
	}
}
