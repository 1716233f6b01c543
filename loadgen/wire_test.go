package loadgen

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"coinbench/history"
)

func TestWireRequest(t *testing.T) {
	for _, c := range []struct {
		target Target
		close  bool
		want   string
	}{
		{Target{Method: "GET", URL: "http://a:81/x?y=z"}, false, "GET /x?y=z HTTP/1.1|Host: a:81|User-Agent: coinbench||"},
		{Target{Method: "GET", URL: "http://a"}, true, "GET / HTTP/1.1|Host: a|User-Agent: coinbench|Connection: close||"},
		{Target{Method: "POST", URL: "http://a/", Body: []byte("hi")}, false,
			"POST / HTTP/1.1|Host: a|User-Agent: coinbench|Content-Length: 2||hi"},
		{Target{Method: "POST", URL: "http://a/"}, false, "POST / HTTP/1.1|Host: a|User-Agent: coinbench|Content-Length: 0||"},
		{Target{Method: "GET", URL: "http://u:p@a/", Header: http.Header{"Host": {"b"}, "User-Agent": {"me"}, "Content-Length": {"9"},
			"Z": {"1", "2"}, "A": {"3"}}},
			false, "GET / HTTP/1.1|Host: b|A: 3|User-Agent: me|Z: 1|Z: 2|Authorization: Basic dTpw||"},
	} {
		u, err := parseURL(c.target.URL)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(string(wireRequest(c.target, u, c.close)), "\r\n", "|"); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.target, got, c.want)
		}
	}
}

// Several addresses share the connections that are allowed, whatever the policy of reuse; large bodies and answers pass whole.
func TestSeveralTargets(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if r.Method == "HEAD" {
			w.Header().Set("Content-Length", "77")
			return
		}
		w.Write(make([]byte, n))
	})
	a, b := httptest.NewServer(handler), httptest.NewServer(handler)
	defer a.Close()
	defer b.Close()
	large := bytes.Repeat([]byte("x"), 300_000)
	targets := []Target{
		{Method: "POST", URL: a.URL, Body: large}, {Method: "POST", URL: b.URL, Body: []byte("y")},
		{Method: "HEAD", URL: a.URL}, {Method: "GET", URL: b.URL},
	}
	named := slices.Clone(targets)
	named[3].URL = strings.Replace(b.URL, "127.0.0.1", "localhost", 1)
	for _, w := range []Workload{
		{Clients: 3, Requests: 100},
		{Clients: 3, Requests: 100, Reuse: Reuse{PerRequest: true}},
		{Clients: 3, Requests: 100, Reuse: Reuse{PinDNS: true, MaxAge: time.Nanosecond}},
		{Schedule: "2000/s", Requests: 100, Connections: 1},
		{Schedule: "2000/s", Requests: 100, Connections: 3, Reuse: Reuse{MaxRequests: 2}},
		{Schedule: "200/s", Requests: 100, Reuse: Reuse{MaxAge: time.Millisecond}},
		{Schedule: "2000/s", Requests: 100, Reuse: Reuse{PerRequest: true}},
	} {
		for _, w.Targets = range [][]Target{targets, named} {
			w.MaxSamples = 1000
			var m memory
			end, err := Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			checkConservation(t, w, end, &m)
			if sum := m.total(); sum.OK != 100 || sum.Bytes != 25*300_001 {
				t.Errorf("%+v: %d OK, %d bytes, %v", w.Reuse, sum.OK, sum.Bytes, sum.Failures)
			}
		}
	}
}

func TestAnswersInPieces(t *testing.T) {
	// Every prefix of an answer is incomplete, never wrong, and the whole is whole.
	for n := range len(replicaAnswer) - 32 {
		var h head
		if done, err := parseHead([]byte(replicaAnswer[:n]), &h); done || err != nil {
			t.Fatalf("%q: %v, %v", replicaAnswer[:n], done, err)
		}
	}
	var h head
	done, err := parseHead([]byte(replicaAnswer), &h)
	if !done || err != nil || h.status != 200 || h.length != 32 || h.close || h.chunked || string(h.replica) != "rng.1" ||
		string(h.version) != "v2" ||
		h.size != len(replicaAnswer)-32 {
		t.Errorf("%v, %v, %+v", done, err, h)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte(replicaAnswer))
	f.Add([]byte("HTTP/1.0 204 \n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		done, err := parseHead(b, &h)
		if done && (err != nil || h.size <= 0 || h.size > len(b) || h.length < -1 || h.status < 100 || h.status > 999) {
			t.Errorf("%q: %v, %+v", b, err, h)
		}
	})
}

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"500/s", "poisson(ramp(10/s, 500/s, 30s) then 500/s for 1m)", "sine(mean 5/s, amp 1/s, period 1s)",
		"steps(1/s, 1/s, 1s, 3)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := ParseSchedule(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q became %q, then %q (%v)", text, s, again, err)
		}
		if s.Due(1000) < s.Due(10) {
			t.Errorf("%q: due instants fall", text)
		}
	})
}

// fullQueue is the URL of a listener that accepts nothing and whose queue is soon full: then it answers no SYN.
func fullQueue(t *testing.T) (url string) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + strconv.Itoa(sa.(*syscall.SockaddrInet4).Port) + "/"
}

func TestConnectTimeoutOfAFullQueue(t *testing.T) {
	for name, player := range players {
		var m memory
		_, err := player.Run(t.Context(), Workload{Targets: []Target{{URL: fullQueue(t)}}, Clients: 8, Requests: 8,
			Timeouts: Timeouts{Connect: 200 * time.Millisecond, Header: 200 * time.Millisecond}}, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		sum := m.total()
		if sum.Failures[history.ConnectTimeout] == 0 || sum.Failures[history.ConnectTimeout]+sum.Failures[history.HeaderTimeout] != 8 {
			t.Errorf("%s: %v, want connect timeouts (and header timeouts of the few that found room)", name, sum.Failures)
		}
	}
}

func TestTooManyConnectionsSayWhatToDo(t *testing.T) {
	if err := enoughFiles(1 << 40); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("error %v", err)
	}
	if err := enoughFiles(1); err != nil {
		t.Error(err)
	}
}

func TestAnIdleConnectionThatIsOverIsStale(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, end := range []func(net.Conn){
		func(c net.Conn) { c.Close() },
		func(c net.Conn) { c.(*net.TCPConn).CloseWrite() },
		func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		func(c net.Conn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		r := newRaw(c)
		if r == nil {
			t.Skip("not run: this system has no raw connections")
		}
		if r.stale() {
			t.Error("a connection that lives is stale")
		}
		end(server)
		for deadline := time.Now().Add(20 * time.Second); !r.stale(); {
			if time.Now().After(deadline) {
				t.Fatal("a connection that is over never becomes stale")
			}
			runtime.Gosched()
		}
	}
}
