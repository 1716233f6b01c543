package loadgen

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
)

// virtual is a Player whose server lives in memory and answers with respond, in virtual time: to be used within a synctest
// bubble. respond is called once a request has been read.
func virtual(respond func(w io.Writer, r *http.Request) (keep bool)) Player {
	return Player{
		Sleep: func(t time.Time) { time.Sleep(time.Until(t)) },
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				in := bufio.NewReader(server)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body)
					if !respond(server, r) {
						return
					}
				}
			}()
			return client, nil
		},
	}
}

// leave lets virtual time pass until the servers of a bubble have ended.
func leave() { time.Sleep(time.Hour) }

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// A server that stops for S in every T: a request that falls due within a stall waits for its end, so P(L > x) = (S - x)/T, and
// the quantile q is S - (1-q)T. A generator that starts its clock when it sends sees only as many slow requests as it has
// connections: service time next to it shows that.
func TestResponseTimeKeepsTheLawOfTheStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall, every = time.Second, 5 * time.Second
		origin := time.Now()
		player := virtual(func(w io.Writer, _ *http.Request) bool {
			if at := time.Since(origin) % every; at >= every-stall {
				time.Sleep(every - at)
			}
			_, err := io.WriteString(w, hello)
			return err == nil
		})
		var m memory
		end, err := player.Run(t.Context(), Workload{
			Targets: []Target{{URL: "http://127.0.0.1:1/"}}, Schedule: "500/s", Duration: 20 * time.Second, Connections: 10,
		}, origin, &m)
		if err != nil {
			t.Fatal(err)
		}
		sum := m.total()
		if end.Due != 10_000 || end.OK != 10_000 || end.Failed != 0 || len(end.Invalid) > 0 {
			t.Errorf("end: %+v", end)
		}
		for q, want := range map[float64]time.Duration{50: 0, 90: 500 * time.Millisecond, 99: 950 * time.Millisecond,
			99.9: 995 * time.Millisecond} {
			got := time.Duration(sum.Response.ValueAtPercentile(q))
			if d := got - want; d < -20*time.Millisecond || d > 20*time.Millisecond {
				t.Errorf("response time: p%g = %v, want %v", q, got, want)
			}
		}
		if got := time.Duration(sum.Service.ValueAtPercentile(99)); got > 20*time.Millisecond {
			t.Errorf("service time: p99 = %v, want next to nothing: only 10 requests in each stall have been sent", got)
		}
		if got := sum.Service.Max(); got < int64(900*time.Millisecond) {
			t.Errorf("service time: maximum %v, want nearly %v", time.Duration(got), stall)
		}
		if end.MaxGap < 990*time.Millisecond || end.MaxGap > 1010*time.Millisecond {
			t.Errorf("longest gap between successes: %v, want %v", end.MaxGap, stall)
		}
		if len(m.intervals) != 20 && len(m.intervals) != 21 {
			t.Errorf("%d intervals, want one a second", len(m.intervals))
		}
	})
}

// A server that closes its idle connections without a word: an open workload notices before it sends.
func TestAnIdleConnectionThatWasClosedIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer leave()
		player := virtual(func(w io.Writer, _ *http.Request) bool {
			io.WriteString(w, hello)
			time.Sleep(time.Millisecond)
			return false
		})
		var m memory
		end, err := player.Run(t.Context(), Workload{
			Targets: []Target{{URL: "http://127.0.0.1:1/"}}, Schedule: "10/s", Requests: 20, Connections: 1,
		}, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		if end.OK != 20 || end.Due != 20 {
			t.Errorf("%+v: %v", end, m.total().Failures)
		}
		for _, s := range m.samples {
			if s.Sent != s.Due {
				t.Errorf("request %d was sent %v late", s.Seq, s.Sent-s.Due)
			}
		}
	})
}

func TestABoundedBacklogDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer leave()
		player := virtual(func(w io.Writer, _ *http.Request) bool {
			time.Sleep(time.Second)
			_, err := io.WriteString(w, hello)
			return err == nil
		})
		var m memory
		// One connection serves 1/s; 4/s are due for 10 s, and 3 may wait.
		w := Workload{Targets: []Target{{URL: "http://127.0.0.1:1/"}}, Schedule: "4/s", Duration: 10 * time.Second,
			Connections: 1, Backlog: 3, Grace: 2500 * time.Millisecond, MaxSamples: 1000}
		end, err := player.Run(t.Context(), w, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		checkConservation(t, w, end, &m)
		// Served at 1, 2, ..., 12 s; the one that began at 12 s is cancelled at 12.5 s; the rest was dropped.
		sum := m.total()
		if end.Due != 40 || end.OK != 12 || end.InFlight != 1 || sum.Failures[history.Dropped] != 27 {
			t.Errorf("%+v: %v", end, sum.Failures)
		}
	})
}

// Conservation, for workloads of any shape against a server of any speed.
func TestConservation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		service := time.Duration(rapid.IntRange(0, 300).Draw(rt, "service ms")) * time.Millisecond
		failEvery := rapid.Int64Range(1, 20).Draw(rt, "fail every")
		w := Workload{Targets: []Target{{URL: "http://127.0.0.1:1/"}}, MaxSamples: 10_000,
			Timeouts: Timeouts{Header: time.Duration(rapid.IntRange(0, 300).Draw(rt, "timeout ms")) * time.Millisecond},
			Reuse:    Reuse{PerRequest: rapid.Bool().Draw(rt, "per request"), MaxRequests: rapid.IntRange(0, 5).Draw(rt, "max requests")}}
		if rapid.Bool().Draw(rt, "open") {
			w.Schedule = rapid.SampledFrom([]string{"50/s", "ramp(0/s, 100/s, 2s)", "steps(10/s, 20/s, 500ms, 4)", "poisson(60/s)",
				"ramp(50/s, 0/s, 2s)"}).Draw(rt, "schedule")
			w.Connections = rapid.IntRange(1, 20).Draw(rt, "connections")
			w.Backlog = rapid.IntRange(0, 20).Draw(rt, "backlog")
		} else {
			w.Clients = rapid.IntRange(1, 20).Draw(rt, "clients")
			w.Think = time.Duration(rapid.IntRange(1, 50).Draw(rt, "think ms")) * time.Millisecond
		}
		w.Duration = time.Duration(rapid.IntRange(0, 3000).Draw(rt, "duration ms")) * time.Millisecond
		w.Requests = rapid.Int64Range(1, 150).Draw(rt, "requests")
		w.Grace = time.Duration(rapid.IntRange(-1, 300).Draw(rt, "grace ms")) * time.Millisecond
		cancelAfter := time.Duration(rapid.IntRange(1, 4000).Draw(rt, "cancel ms")) * time.Millisecond
		synctest.Test(t, func(t *testing.T) {
			defer leave()
			defer leave()
			var n atomic.Int64
			player := virtual(func(w io.Writer, _ *http.Request) bool {
				time.Sleep(service)
				if n.Add(1)%failEvery == 0 && failEvery > 1 {
					return false
				}
				_, err := io.WriteString(w, hello)
				return err == nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), cancelAfter)
			defer cancel()
			var m memory
			end, err := player.Run(ctx, w, time.Now(), &m)
			if err != nil {
				rt.Fatal(err)
			}
			w.Requests = 0 // cancelled or not, it need not come to all of them
			checkConservation(rt, w, end, &m)
			if w.Schedule == "" && m.total().Failures[history.Dropped] > 0 {
				rt.Errorf("a closed workload dropped requests")
			}
		})
	})
}
