package loadgen

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"coinbench/history"
)

// memory is a Recorder that keeps everything.
type memory struct {
	intervals []history.Interval
	samples   []history.Sample
}

func (m *memory) Interval(i history.Interval) error { m.intervals = append(m.intervals, i); return nil }
func (m *memory) Sample(s history.Sample) error     { m.samples = append(m.samples, s); return nil }

func (m *memory) total() (t history.Interval) {
	t.Merge(history.Interval{Failures: map[history.Class]int64{}, Replicas: map[string]int64{}, Versions: map[string]int64{}})
	for _, i := range m.intervals {
		t.Merge(i)
	}
	return t
}

func TestRunAgainstAServer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Coinbench-Replica", "rng.1")
		w.Header().Set("X-Coinbench-Version", "v2")
		w.Header().Set("Server", "test/1 \x1b(it)")
		if r.Method == "POST" {
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
			return
		}
		io.WriteString(w, "hello")
	}))
	defer srv.Close()
	target := []Target{{URL: srv.URL + "/x"}, {Method: "POST", URL: srv.URL + "/y", Body: []byte("world")}}
	for name, w := range map[string]Workload{
		"closed":              {Clients: 5, Requests: 101},
		"closed, new":         {Clients: 5, Requests: 101, Reuse: Reuse{PerRequest: true}},
		"closed, few":         {Clients: 5, Requests: 101, Reuse: Reuse{MaxRequests: 3}},
		"open":                {Schedule: "1000/s", Requests: 101},
		"open, 2 connections": {Schedule: "1000/s", Requests: 101, Connections: 2, Duration: time.Minute},
	} {
		test := func(t *testing.T, player Player) {
			w.Targets = target
			w.Expect.Length = 5
			var m memory
			end, err := player.Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			sum := m.total()
			if end.Due != 101 || end.OK != 101 || sum.OK != 101 || len(m.samples) != 101 || sum.Bytes != 505 {
				t.Errorf("end %+v, sum %+v", end, sum)
			}
			if end.Server != "test/1 (it)" || end.ReceivedBytes < 101*100 || end.ReceivedBytes > 101*300 {
				t.Errorf("server %q, %d bytes received", end.Server, end.ReceivedBytes)
			}
			if sum.Replicas["rng.1"] != 101 || sum.Versions["v2"] != 101 {
				t.Errorf("replicas %v, versions %v", sum.Replicas, sum.Versions)
			}
			if sum.Response.TotalCount() != 101 || sum.Service.TotalCount() != 101 || sum.Lag.TotalCount() != 101 {
				t.Errorf("histograms hold %d, %d, %d", sum.Response.TotalCount(), sum.Service.TotalCount(), sum.Lag.TotalCount())
			}
		}
		for engine, player := range players {
			t.Run(name+" "+engine, func(t *testing.T) { test(t, player) })
		}
	}
}

// On a busy machine the collector may come after the load's end and write the second in which it ended as a whole one: what is left still
// counts, and nothing is written twice.
func TestTheCollectorComesAfterTheEnd(t *testing.T) {
	for _, next := range []int64{10, 11} {
		e, err := newEngine(Player{}, Workload{Targets: []Target{{URL: "http://127.0.0.1:1/"}}, Clients: 1, Requests: 1}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, late := range []int64{0, 1} {
			var m memory
			c := &collector{e: e, rec: &m, next: next, pending: map[int64][]*history.Interval{}}
			if late > 0 {
				c.interval(10, 0).OK = late
			}
			if err := c.finish(10*time.Second + 200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			at, length := 10*time.Second, 200*time.Millisecond
			if next == 11 {
				at, length = 11*time.Second, time.Millisecond
			}
			if want := next == 10 || late > 0; len(m.intervals) > 1 || (len(m.intervals) == 1) != want ||
				want && (m.intervals[0].At != at || m.intervals[0].Length != length || m.total().OK != late) {
				t.Errorf("next %d, %d late: %+v", next, late, m.intervals)
			}
		}
	}
}
