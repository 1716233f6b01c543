package overlay

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"coinbench/cluster/swarm/engine"
)

// answering is the overlay of an engine that lists these tasks, and a node n2 that is down.
func answering(t *testing.T, tasks string) *Overlay {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/tasks"):
			fmt.Fprint(w, tasks)
		case strings.HasSuffix(r.URL.Path, "/nodes"):
			fmt.Fprint(w, `[{"ID":"n1","Description":{"Hostname":"node1"},"Status":{"State":"ready"}},
				{"ID":"n2","Description":{"Hostname":"node2"},"Status":{"State":"down"}}]`)
		}
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.WithHost("tcp://"+server.Listener.Addr().String()), client.WithAPIVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return New(engine.New(c, engine.Options{}), func(string, ...any) {})
}

// What became of a job's copies is said by their slots: those that have ended, failed, were told to stop, or are on a node that is down.
func TestJobEnds(t *testing.T) {
	o := answering(t, `[{"Slot":1,"NodeID":"n1","Status":{"State":"complete"}},{"Slot":2,"NodeID":"n1","Status":{"State":"running"}},
		{"Slot":3,"NodeID":"n1","Status":{"State":"failed","Err":"task: non-zero exit (137)"}},
		{"Slot":4,"NodeID":"n2","Status":{"State":"running"}},{"Slot":5,"NodeID":"n1","Status":{"State":"shutdown"}}]`)
	got, err := o.JobEnds(t.Context(), "job")
	want := map[int]string{1: "", 3: "on node1: it ended: failed task: non-zero exit (137)", 4: "on node2: its node is down",
		5: "on node1: it ended: shutdown"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// A job whose copies cannot all run says why at once.
func TestAJobThatCannotStart(t *testing.T) {
	for tasks, want := range map[string]string{
		`[{"Slot":1,"Status":{"State":"rejected","Err":"No such image: coinbench/coinbench:v0.1"}}]`: "coinbench images push",
		fmt.Sprintf(`[{"Slot":1,"CreatedAt":%q,"Status":{"State":"pending","Err":"no suitable node (max replicas per node limit exceed)"}}]`,
			time.Now().Add(-time.Minute).Format(time.RFC3339)): "one has no place: no suitable node",
	} {
		if err := answering(t, tasks).started(t.Context(), "job", 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", tasks, err, want)
		}
	}
	if err := answering(t, `[{"Slot":1,"Status":{"State":"running"}},{"Slot":2,"Status":{"State":"complete"}}]`).started(t.Context(), "job",
		2); err != nil {
		t.Error(err)
	}
}
