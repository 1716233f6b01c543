package local

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"

	"coinbench/cluster"
)

// listeners lists the addresses of a service by the client that has them.
func listeners(c *Cluster, service string) map[string]string {
	s, err := c.app.Lookup(service)
	if err != nil {
		return nil
	}
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	found := map[string]string{}
	for _, d := range s.proxy.listeners {
		found[d.client] = d.listener.Addr().String()
	}
	return found
}

// Each worker has its own address of what it asks, and so its own turn; both end with it.
func TestWorkersHaveTheirOwnTurn(t *testing.T) {
	app, err := shipped(t).With("worker", new(2), cluster.Change{Environment: map[string]string{"COIN_THINK": "1h",
		"COIN_ON_SIGTERM": "exit"}})
	if err == nil {
		app, err = app.With("rng", new(3), cluster.Change{Balance: cluster.RoundRobinPerClient})
	}
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, Config{Dir: t.TempDir()})
	defer c.Remove(context.Background())
	if err := c.Deploy(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	ask := func(address string) string {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer.Header.Get("X-Coinbench-Replica")
	}
	order := []string{"rng.1", "rng.2", "rng.3"}
	at := map[string]int{} // by client: the place of the last answer in the order
	found := listeners(c, "rng")
	for i := range 30 {
		client := []string{"worker.1#1", "", "worker.2#1", "worker.1#1"}[i%4]
		if found[client] == "" {
			t.Fatalf("%q has no address of rng: %v", client, found)
		}
		place := slices.Index(order, ask(found[client]))
		if last, begun := at[client]; begun && place != (last+1)%3 {
			t.Fatalf("client %q met %s after %s", client, order[place], order[last])
		}
		at[client] = place
	}
	if n := len(listeners(c, "redis")); n != 1 {
		t.Errorf("redis has %d addresses; one replica needs one", n)
	}
	if err := c.Scale(t.Context(), "worker", 1); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"rng", "hasher"} {
		if left := listeners(c, service); left["worker.2#1"] != "" || left["worker.1#1"] == "" {
			t.Errorf("%s: addresses are left for %v", service, left)
		}
	}
}
