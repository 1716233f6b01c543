package loadgen

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"coinbench/history"
)

func TestGuardChecksWorkloads(t *testing.T) {
	names := map[string][]string{
		"localhost": {"127.0.0.1", "::1"}, "rng": {"10.0.1.5"}, "mixed": {"127.0.0.1",
			"192.0.2.1"}, "nothing": {}, "mapped": {"::ffff:127.0.0.1"},
	}
	lookup := func(_ context.Context, host string) ([]string, error) {
		if a, known := names[host]; known {
			return a, nil
		}
		return nil, errors.New("no such host")
	}
	for _, c := range []struct {
		url     string
		allowed []string
		want    string // in the error; "": none
	}{
		{url: "http://127.0.0.1:8001/"},
		{url: "http://127.9.9.9/"},
		{url: "http://[::1]:80/"},
		{url: "https://LOCALHOST/"},
		{url: "http://mapped/"},
		{url: "http://192.0.2.1/", want: "192.0.2.1: it is not a loopback address"},
		{url: "http://0.0.0.0/", want: "not a loopback"},
		{url: "http://rng/", want: "its address 10.0.1.5 is not loopback"},
		{url: "http://rng/", want: "--allow rng"},
		{url: "http://rng:8080/", allowed: []string{"RNG"}},
		{url: "http://rng/", allowed: []string{"rng.example"}, want: "refuse"},
		{url: "http://[fd00::1]/", allowed: []string{"[fd00::1]"}},
		{url: "http://mixed/", want: "192.0.2.1"},
		{url: "http://nothing/", want: "no address"},
		{url: "http://127.0.0.1.example/", want: "cannot be resolved"},
		{url: "ftp://127.0.0.1/", want: "not an http or https URL"},
	} {
		err := NewGuard(c.allowed, lookup).Check(t.Context(), Workload{Targets: []Target{{URL: "http://127.0.0.1/"}, {URL: c.url}}})
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, allowed %v: error %v, want %q", c.url, c.allowed, err, c.want)
		}
	}
	w := Workload{Targets: []Target{{URL: "http://127.0.0.1/"}}, Transport: Transport{Proxy: "http://192.0.2.1:3128"}}
	if err := NewGuard(nil, lookup).Check(t.Context(), w); err == nil {
		t.Error("a foreign proxy was not refused")
	}
}

// A load that is given no guard, as a generator in a Swarm plays it, goes to loopback and to the hosts that it names, and nowhere else:
// neither by a redirect nor by a name of its own that leads elsewhere through a redirect.
func TestALoadWithoutAGuardKeepsToItsHosts(t *testing.T) {
	to := "http://192.0.2.1:9/"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusFound)
	}))
	defer server.Close()
	w := Workload{Targets: []Target{{URL: server.URL}}, Clients: 1, Requests: 1, MaxSamples: 1, Transport: Transport{Redirects: 1},
		Timeouts: Timeouts{Connect: 2 * time.Second}}
	var m memory
	end, err := Run(t.Context(), w, time.Now(), &m)
	if err != nil {
		t.Fatal(err)
	}
	if s := m.samples[0]; end.OK != 0 || s.Class != history.ConnectFailed || !strings.Contains(s.Error, "refuse to send load to 192.0.2.1") {
		t.Errorf("%+v: %q %s", end, s.Class, s.Error)
	}
	w.Targets = append(w.Targets, Target{URL: "http://rng:80/"})
	g := NewGuard(w.hosts(), nil)
	if err := g.address("rng:80", netip.MustParseAddr("10.0.1.5")); err != nil || g.Refused() != nil {
		t.Errorf("a host that it names: %v", err)
	}
	if err := g.address("hasher:80", netip.MustParseAddr("10.0.1.6")); err == nil || g.Refused() == nil {
		t.Error("a host that it does not name was not refused")
	}
}
