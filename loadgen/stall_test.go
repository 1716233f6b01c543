package loadgen

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
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

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// A server that stops for S in every T: whoever falls due within a stall waits for its end, so P(L > x) = (S - x)/T, and
// the quantile q is S - (1-q)T. A generator that starts its clock when it sends sees only as many slow requests as it has
// connections: service time beside it shows that.
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
		for q, want := range map[float64]time.Duration{50: 0, 90: 500 * time.Millisecond, 99: 950 * time.Millisecond, 99.9: 995 * time.Millisecond} {
			got := time.Duration(sum.Response.ValueAtQuantile(q))
			if d := got - want; d < -20*time.Millisecond || d > 20*time.Millisecond {
				t.Errorf("response time: p%g = %v, want %v", q, got, want)
			}
		}
		if got := time.Duration(sum.Service.ValueAtQuantile(99)); got > 20*time.Millisecond {
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
