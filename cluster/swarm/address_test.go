package swarm

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"coinbench/cluster"
	"coinbench/cluster/rollout"
	"coinbench/cluster/swarm/engine"
)

// fakeEngine answers as an engine of API 1.41 does, with a path's answer, and 404 for every other.
func fakeEngine(t *testing.T, answers map[string]string) *client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		answer, known := answers[r.Method+" /"+path]
		if !known && r.URL.Path != "/_ping" {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"message":"No such image"}`
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The port of a service that is not ours is what the Compose file says, or the one that its image exposes; otherwise it must be said.
func TestAddress(t *testing.T) {
	answers := fakeEngine(t, map[string]string{
		"GET /images/one:1/json": `{"Config":{"ExposedPorts":{"8080/tcp":{},"53/udp":{}}}}`,
		"GET /images/two:1/json": `{"Config":{"ExposedPorts":{"8080/tcp":{},"80/tcp":{}}}}`,
	})
	c, err := New(engine.New(answers, engine.Options{}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		of         cluster.Service
		want, says string
	}{
		"ours":      {of: cluster.Service{Image: "coinbench/rng:v0.1"}, want: "x:80"},
		"published": {of: cluster.Service{Image: "none:1", Ports: []cluster.Port{{Target: 81}}}, want: "x:81"},
		"expose:":   {of: cluster.Service{Image: "two:1", Expose: []int{82}}, want: "x:82"},
		"EXPOSE":    {of: cluster.Service{Image: "one:1"}, want: "x:8080"},
		"two":       {of: cluster.Service{Image: "two:1"}, says: "exposes [80 8080]; say it by port:"},
		"not there": {of: cluster.Service{Image: "none:1"}, says: "No such image"},
		"worker":    {of: cluster.Service{Image: "coinbench/worker:v0.1"}, says: "no port"},
	} {
		row.of.Name = "x"
		c.app.Services = []*service{c.newService(&service{spec: row.of}, rollout.State{Spec: row.of})}
		got, err := c.Address(t.Context(), "x")
		if got != row.want || (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %s, %v; want %s, %s", name, got, err, row.want, row.says)
		}
		if at, err := c.AddressAt(t.Context(), "x", 9); err != nil || at != "x:9" {
			t.Errorf("%s: %s, %v", name, at, err)
		}
	}
}
