package loadgen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"coinbench/history"
)

// faulty is a server on loopback that fails in the way that the path names.
func faulty(t *testing.T) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil || !fault(c, r, n, stop) {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// fault answers request n of a connection; false: the connection is to be closed.
func fault(c net.Conn, r *http.Request, n int, stop chan struct{}) bool {
	say := func(s string) { io.WriteString(c, s) }
	switch r.URL.Path {
	case "/ok":
		say(hello)
		return true
	case "/interim":
		say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello)
		return true
	case "/chunked":
		say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n")
		return true
	case "/old":
		say("HTTP/1.0 200 OK\r\n\r\nhello")
	case "/until-close":
		say("HTTP/1.1 200 OK\r\n\r\nhel")
		say("lo")
	case "/close-header":
		say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
	case "/empty":
		say("HTTP/1.1 204 No Content\r\n\r\n")
		return true
	case "/drop":
	case "/reset":
		c.(*net.TCPConn).SetLinger(0)
	case "/reset-in-body":
		say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		// A reset may overtake bytes that have not been read, so the other side is let read them: it tells by its silence.
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		c.Read(make([]byte, 1))
		c.(*net.TCPConn).SetLinger(0)
	case "/close-in-body":
		say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
	case "/close-in-chunk":
		say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello")
	case "/once": // and then closed, without having said so, when the next request comes
		if n > 0 {
			return false
		}
		say(hello)
		return true
	case "/no-header":
		<-stop
	case "/half-header":
		say("HTTP/1.1 200 OK\r\nContent-Le")
		<-stop
	case "/half-body":
		say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		<-stop
	case "/garbage":
		say("SSH-2.0-OpenSSH_9.9\r\n")
	case "/bad-header":
		say("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")
	case "/bad-length":
		say("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello")
	case "/bad-chunk":
		say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")
	case "/endless-header":
		say("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHead) + "\r\n\r\n")
	case "/error":
		say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nsorry")
		return true
	case "/longer":
		say("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhello, ")
		return true
	case "/other":
		say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld")
		return true
	}
	return false
}

var faults = map[string]history.Class{
	"/ok": history.OK, "/interim": history.OK, "/chunked": history.OK, "/old": history.OK, "/until-close": history.OK,
	"/close-header": history.OK,
	"/drop":         history.ResetBeforeByte, "/reset": history.ResetBeforeByte,
	"/reset-in-body": history.ResetInBody, "/close-in-body": history.ResetInBody, "/close-in-chunk": history.ResetInBody,
	"/no-header": history.HeaderTimeout, "/half-header": history.HeaderTimeout, "/half-body": history.BodyTimeout,
	"/garbage": history.Malformed, "/bad-header": history.Malformed, "/bad-length": history.Malformed,
	"/bad-chunk": history.Malformed, "/endless-header": history.Malformed,
	"/error": history.UnexpectedStatus, "/empty": history.WrongLength, "/longer": history.WrongLength, "/other": history.WrongBody,
}

// players are the two ways to play a closed workload: event loops, where there are such, and a goroutine for every client,
// which connections that somebody else opens need. Whatever is promised of one holds for both.
var players = map[string]Player{"loops": {}, "goroutines": {Dial: new(net.Dialer).DialContext}}

func TestEveryFaultHasItsClass(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("faults", func(t *testing.T) {
		url := faulty(t)
		for path, want := range faults {
			w := Workload{
				Targets: []Target{{URL: url + path}}, Requests: 1,
				Expect:   Expect{Length: 5, Body: []byte("hello")},
				Timeouts: Timeouts{Header: 300 * time.Millisecond, Body: 300 * time.Millisecond},
			}
			w.Schedule = "100/s"
			faultHasItsClass(t, path[1:]+" open", Player{}, w, want)
			w.Clients, w.Schedule = 1, ""
			for name, player := range players {
				faultHasItsClass(t, path[1:]+" "+name, player, w, want)
			}
		}
	})
}

func faultHasItsClass(t *testing.T, name string, player Player, w Workload, want history.Class) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		var m memory
		end, err := player.Run(t.Context(), w, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		if end.Due != 1 || len(m.samples) != 1 {
			t.Fatalf("%+v, %d samples", end, len(m.samples))
		}
		s := m.samples[0]
		if s.Class != want || (want != history.OK) != (s.Error != "") {
			t.Errorf("class %q (%s), want %q", s.Class, s.Error, want)
		}
		if s.Done < s.Sent || s.Sent < s.Due || s.Connect <= 0 || (s.First != 0 && (s.First < s.Sent || s.First > s.Done)) {
			t.Errorf("instants out of order: %+v", s)
		}
	})
}

func TestClosedWhileReused(t *testing.T) {
	url := faulty(t)
	for name, player := range players {
		var m memory
		_, err := player.Run(t.Context(), Workload{Targets: []Target{{URL: url + "/once"}}, Clients: 1, Requests: 4}, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range m.samples {
			want := history.OK
			if i%2 == 1 { // never repeated silently
				want = history.ClosedReused
			}
			if s.Class != want {
				t.Errorf("%s: request %d: %q (%s), want %q", name, i, s.Class, s.Error, want)
			}
		}
		if len(m.samples) != 4 {
			t.Errorf("%s: %d requests, want 4", name, len(m.samples))
		}
	}
}

// dialError fails every connection in the same way.
func dialError(err error) Player {
	return Player{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}}
}

func TestConnectFailures(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String()) // its port is taken, and nothing listens there
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	nobody := "http://" + near.LocalAddr().String()
	hang := Player{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}
	for _, c := range []struct {
		name   string
		player Player
		url    string
		want   history.Class
	}{
		{"refused", Player{}, nobody, history.Refused},
		{"refused, dialled", players["goroutines"], nobody, history.Refused},
		{"name", Player{}, "http://no..such..name/", history.NameResolution},
		{"no route", dialError(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), nobody, history.NoRoute},
		{"no network", dialError(os.NewSyscallError("connect", syscall.ENETUNREACH)), nobody, history.NoRoute},
		{"no ports", dialError(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)), nobody, history.ConnectFailed},
		{"timeout", hang, nobody, history.ConnectTimeout},
		{"kernel's timeout", dialError(os.NewSyscallError("connect", syscall.ETIMEDOUT)), nobody, history.ConnectTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m memory
			end, err := c.player.Run(t.Context(), Workload{Targets: []Target{{URL: c.url}}, Clients: 2, Requests: 6,
				Timeouts: Timeouts{Connect: 50 * time.Millisecond}}, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.total().Failures[c.want]; got != 6 || end.Failed != 6 {
				t.Errorf("%v, want 6 of %q (%s)", m.total().Failures, c.want, m.samples[0].Error)
			}
		})
	}
}

// 10,000 requests that fail in every way, over both kinds of workloads: the counts add up to the last request.
func TestManyFailuresAddUp(t *testing.T) {
	url := faulty(t)
	var targets []Target
	for path := range faults {
		targets = append(targets, Target{URL: url + path})
	}
	targets = append(targets, Target{URL: url + "/once"}, Target{URL: "http://127.0.0.1:1/refused"},
		Target{URL: "http://no..such..name/"}, Target{URL: strings.Replace(url, "127.0.0.1", "localhost", 1) + "/ok"})
	for _, w := range []Workload{
		{Clients: 100, Requests: 10_000},
		{Clients: 20, Duration: 200 * time.Millisecond, Think: time.Millisecond, Grace: 10 * time.Millisecond},
		{Schedule: "5000/s", Requests: 1000, Connections: 100, Backlog: 300},
		{Schedule: "poisson(5000/s)", Duration: 200 * time.Millisecond, Connections: 50, Backlog: 50, Grace: 50 * time.Millisecond},
	} {
		for name, player := range players {
			if w.Schedule != "" && name != "loops" {
				continue // open workloads are played in one way only
			}
			w.Targets, w.Expect = targets, Expect{Length: 5, Body: []byte("hello")}
			w.Timeouts = Timeouts{Connect: time.Second, Header: 30 * time.Millisecond, Body: 30 * time.Millisecond}
			w.MaxSamples = 20_000
			var m memory
			end, err := player.Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			checkConservation(t, w, end, &m)
			t.Logf("%s: %v", name, m.total().Failures)
		}
	}
}

type failer interface {
	Helper()
	Errorf(string, ...any)
}

// checkConservation holds a record to its law: due = OK + failures (dropped among them), in the end record, the intervals
// and the samples alike, every request once.
func checkConservation(t failer, w Workload, end history.LoadEndRecord, m *memory) {
	t.Helper()
	sum := m.total()
	var failed int64
	for _, n := range sum.Failures {
		failed += n
	}
	if sum.Due != sum.OK+failed || end.Due != sum.Due || end.OK != sum.OK || end.Failed != failed || end.OK+end.Failed != end.Due {
		t.Errorf("counts do not add up: end %+v; intervals: due %d, OK %d, failures %v", end, sum.Due, sum.OK, sum.Failures)
	}
	if w.Requests > 0 && w.Duration == 0 && end.Due != w.Requests && end.InFlight == 0 {
		t.Errorf("%d requests, want %d", end.Due, w.Requests)
	}
	if w.MaxSamples >= end.Due {
		seen := map[int64]bool{}
		classes := map[history.Class]int64{}
		type name struct{ replica, version string }
		parts := map[name]int64{}
		for _, s := range m.samples {
			if seen[s.Seq] || s.Seq < 0 || s.Seq >= end.Due {
				t.Errorf("request %d is there twice or out of range", s.Seq)
			}
			seen[s.Seq] = true
			classes[s.Class]++
			if s.Replica != "" || s.Version != "" {
				parts[name{s.Replica, s.Version}]++
			}
		}
		for _, p := range sum.Parts {
			at := name{p.Replica, p.Version}
			if n := p.OK + p.Failed(); n != parts[at] || p.Response.TotalCount() != p.OK {
				t.Errorf("%d samples are of %v; the intervals say %d, %d of them good, and hold the times of %d", parts[at], at, n, p.OK,
					p.Response.TotalCount())
			}
			delete(parts, at)
		}
		if len(parts) > 0 {
			t.Errorf("the intervals know nothing of %v", parts)
		}
		if int64(len(m.samples)) != end.Due {
			t.Errorf("%d samples of %d requests", len(m.samples), end.Due)
		}
		for c, n := range sum.Failures {
			if classes[c] != n {
				t.Errorf("%d samples are %q, the intervals say %d", classes[c], c, n)
			}
		}
	}
	sent := sum.Due - sum.Failures[history.Dropped]
	if sum.Response.TotalCount() != sum.OK || sum.Service.TotalCount() != sum.OK || sum.Lag.TotalCount() != sent {
		t.Errorf("histograms hold %d, %d and %d, want %d, %d and %d", sum.Response.TotalCount(), sum.Service.TotalCount(),
			sum.Lag.TotalCount(), sum.OK, sum.OK, sent)
	}
	for i := 1; i < len(m.intervals); i++ {
		if a, b := m.intervals[i-1], m.intervals[i]; b.At != a.At+a.Length {
			t.Errorf("interval %d begins at %v, the one before ends at %v", i, b.At, a.At+a.Length)
		}
	}
}

func TestCancelKeepsTheRecord(t *testing.T) {
	url := faulty(t)
	for _, w := range []Workload{
		{Clients: 7, Requests: 1 << 40, MaxSamples: 1000},
		{Schedule: "100/s", Requests: 1 << 40, Connections: 7, MaxSamples: 1000},
	} {
		w.Targets = []Target{{URL: url + "/no-header"}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		player := Player{Dial: cancelAt(7, cancel)}
		var m memory
		end, err := player.Run(ctx, w, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		if end.InFlight == 0 || end.InFlight > 7 || m.total().Failures[history.Cancelled] != end.InFlight {
			t.Errorf("in flight %d, %v", end.InFlight, m.total().Failures)
		}
		checkConservation(t, w, end, &m)
	}
}

// cancelAt dials, and calls cancel when the nth connection is made.
func cancelAt(n int32, cancel func()) func(context.Context, string, string) (net.Conn, error) {
	var count atomic.Int32
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if count.Add(1) == n {
			cancel()
		}
		return c, err
	}
}

// brokenRecorder fails after a few samples.
type brokenRecorder struct{ memory }

var errDiskFull = errors.New("the disk is full")

func (b *brokenRecorder) Sample(s history.Sample) error {
	if s.Seq > 10 {
		return errDiskFull
	}
	return nil
}

func TestARecorderThatFailsStopsTheLoad(t *testing.T) {
	url := faulty(t)
	_, err := Run(t.Context(), Workload{Targets: []Target{{URL: url + "/ok"}}, Clients: 2, Requests: 1 << 40}, time.Now(), &brokenRecorder{})
	if !errors.Is(err, errDiskFull) {
		t.Errorf("error %v, want %v", err, errDiskFull)
	}
}
