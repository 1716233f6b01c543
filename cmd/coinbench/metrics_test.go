package main

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// exporting is a cluster of which only the tasks' metrics are asked.
type exporting struct{ cluster.Cluster }

func (exporting) MetricsTargets() []cluster.MetricsTarget {
	return []cluster.MetricsTarget{{Service: "rng", Task: "rng.2#1", Slot: 2, Version: "v0.1", Address: "127.0.0.1:4711"}}
}

// A run is served as far as it is recorded, and its tasks are where the cluster says, to who asks under a name of this machine.
func TestRunIsServed(t *testing.T) {
	var notes strings.Builder
	s, err := serveMetrics(process{stderr: &notes}, ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	address := s.listener.Addr().String()
	if !strings.HasPrefix(address, "127.0.0.1:") || !strings.Contains(notes.String(), "http://"+address+"/metrics") {
		t.Errorf("it listens at %s and says %q", address, notes.String())
	}
	ask := func(path, host string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	if status, body := ask("/metrics", "localhost"); status != 200 || body != "" {
		t.Errorf("before the run: %d %s", status, body)
	}
	if status, body := ask("/sd", "localhost"); status != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("before the run: %d %s", status, body)
	}

	dir := filepath.Join(t.TempDir(), "x")
	w, err := history.Create(dir, history.Manifest{Scenario: "smoke", Start: time.Now()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := s.follow(dir, exporting{}); err != nil {
		t.Fatal(err)
	}
	for n, verb := range []string{"deploy", "measure"} {
		if err := w.Event(history.Event{Step: n + 1, Payload: event.StepBegin{Verb: verb}}); err != nil {
			t.Fatal(err)
		}
		if _, body := ask("/metrics", address); !strings.Contains(body, `,verb="`+verb+`"} 1`) {
			t.Errorf("the step %s is not there:\n%s", verb, body)
		}
	}
	_, body := ask("/sd", "[::1]:9000")
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := json.Unmarshal([]byte(body), &groups); err != nil || len(groups) != 1 || groups[0].Targets[0] != "127.0.0.1:4711" ||
		groups[0].Labels["run"] != "smoke/x" || groups[0].Labels["task"] != "rng.2#1" || groups[0].Labels["slot"] != "2" {
		t.Errorf("%v: %s", err, body)
	}
	for _, host := range []string{"evil.example", "evil.example:9000", "localhost.evil.example"} {
		if status, _ := ask("/metrics", host); status != http.StatusMisdirectedRequest {
			t.Errorf("asked as %q: %d", host, status)
		}
	}
	r, err := http.Post("http://"+address+"/metrics", "text/plain", nil)
	if err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %v %v", r, err)
	}
	s.close()
	if _, err := http.Get("http://" + address + "/metrics"); err == nil {
		t.Error("it is still served")
	}
}
