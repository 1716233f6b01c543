package loadgen

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/internal/race"
)

// listenOdd calls serve with each connection to a listener on loopback, in the clear and with TLS, and returns the URLs.
func listenOdd(t *testing.T, serve func(c net.Conn, in *bufio.Reader, stop <-chan struct{})) (plain, secure string) {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.Config.ErrorLog = log.New(io.Discard, "", 0)
	certified.StartTLS()
	config := certified.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	certified.Close()
	var connections sync.WaitGroup
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); connections.Wait() })
	start := func(l net.Listener) {
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				connections.Go(func() {
					defer c.Close()
					serve(c, bufio.NewReader(c), stop)
				})
			}
		}()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(l)
	s, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	start(s)
	return "http://" + l.Addr().String(), "https://" + s.Addr().String()
}

// withWays plays a workload in every way in which HTTP/1.1 can be played.
func withWays(t *testing.T, plain, secure string, w Workload, check func(t *testing.T, end history.LoadEndRecord, m *memory)) {
	t.Helper()
	for _, url := range []string{plain, secure} {
		for name, player := range players {
			for _, open := range []bool{false, true} {
				w := w
				w.Targets = append([]Target(nil), w.Targets...)
				for i := range w.Targets {
					w.Targets[i].URL = url + w.Targets[i].URL
				}
				if open {
					w.Schedule, w.Connections, w.Clients = "1000/s", w.Clients, 0
				}
				w.Transport.Insecure = true
				if w.MaxSamples == 0 {
					w.MaxSamples = 1000
				}
				t.Run(fmt.Sprintf("%s %s open %v", url[:strings.Index(url, ":")], name, open), func(t *testing.T) {
					var m memory
					end, err := player.Run(t.Context(), w, time.Now(), &m)
					if err != nil {
						t.Fatal(err)
					}
					checkConservation(t, w, end, &m)
					check(t, end, &m)
				})
			}
		}
	}
}

// allOK wants n answers without a failure, and says of the first other one what it was.
func allOK(n int64) func(t *testing.T, end history.LoadEndRecord, m *memory) {
	return func(t *testing.T, end history.LoadEndRecord, m *memory) {
		t.Helper()
		if end.OK == n {
			return
		}
		for _, s := range m.samples {
			if s.Class != history.OK {
				t.Errorf("%d of %d OK, %v: %s", end.OK, n, m.total().Failures, s.Error)
				return
			}
		}
	}
}

// answering answers each request of a connection with what answer makes of it; an empty one ends the connection.
func answering(answer func(r *http.Request, n int) (text string, more bool)) func(net.Conn, *bufio.Reader, <-chan struct{}) {
	return func(c net.Conn, in *bufio.Reader, _ <-chan struct{}) {
		for n := 0; ; n++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			text, more := answer(r, n)
			io.WriteString(c, text)
			if !more {
				c.(interface{ CloseWrite() error }).CloseWrite()
				c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				in.ReadByte() // so that a client that does not notice sends here again
				return
			}
		}
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\n%sContent-Length: 3\r\n\r\nok\n"

func TestConnectionIsAListOfTokens(t *testing.T) {
	for fields, more := range map[string]bool{
		"Upgrade: h2,h2c\r\nConnection: Upgrade, close\r\n":   false,
		"Connection: Upgrade\r\nConnection: close\r\n":        false,
		"Connection: close\r\nConnection: keep-alive\r\n":     false,
		"connection:\tkeep-alive ,\tCLOSE\t\r\n":              false,
		"Connection: , ,keep-alive\r\n":                       true,
		"Connection: not-close\r\n":                           true,
		"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n": true,
		"Connection:\r\n close\r\n":                           false,
		"Proxy-Connection: close\r\nX-Connection: close\r\n":  true,
		"HTTP/1.0":                               false,
		"HTTP/1.0 Connection: Keep-Alive, x\r\n": true,
		"HTTP/1.0 Connection: x\r\nConnection: keep-alive\r\n":     true,
		"HTTP/1.0 Connection: keep-alive\r\nConnection: close\r\n": false,
	} {
		t.Run(fields, func(t *testing.T) {
			text := fmt.Sprintf(okAnswer, fields)
			if rest, old := strings.CutPrefix(fields, "HTTP/1.0"); old {
				text = strings.Replace(fmt.Sprintf(okAnswer, strings.TrimPrefix(rest, " ")), "HTTP/1.1", "HTTP/1.0", 1)
			}
			var connections atomic.Int64
			serve := answering(func(*http.Request, int) (string, bool) { return text, more })
			plain, secure := listenOdd(t, func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
				connections.Add(1)
				serve(c, in, stop)
			})
			withWays(t, plain, secure, Workload{Targets: []Target{{}}, Clients: 1, Requests: 10}, func(t *testing.T, end history.LoadEndRecord,
				m *memory) {
				allOK(10)(t, end, m)
				if n := connections.Swap(0); more && n != 1 || !more && n != 10 {
					t.Errorf("%d connections for 10 requests", n)
				}
			})
		})
	}
}

// A client that has sent Connection: close sends nothing more there, whatever the server says.
func TestTheUsersOwnClose(t *testing.T) {
	var connections atomic.Int64
	serve := answering(func(r *http.Request, _ int) (string, bool) { return fmt.Sprintf(okAnswer, ""), !r.Close })
	plain, secure := listenOdd(t, func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
		connections.Add(1)
		serve(c, in, stop)
	})
	for _, header := range []http.Header{{"Connection": {"close"}}, {"connection": {"x, Close"}}, {"Connection": {"x", "close"}}} {
		withWays(t, plain, secure, Workload{Targets: []Target{{Header: header}}, Clients: 2, Requests: 10},
			func(t *testing.T, end history.LoadEndRecord, m *memory) {
				allOK(10)(t, end, m)
				if n := connections.Swap(0); n != 10 {
					t.Errorf("%d connections for 10 requests", n)
				}
			})
	}
	w := Workload{Targets: []Target{{Header: http.Header{"Connection": {"keep-alive"}, "content-length": {"7"}}}}, Clients: 1, Requests: 1,
		Reuse: Reuse{PerRequest: true}}
	withWays(t, plain, secure, w, func(t *testing.T, end history.LoadEndRecord, m *memory) {
		allOK(1)(t, end, m)
		if text := strings.Join(end.Warnings, "\n"); !strings.Contains(text, "the header Connection is sent with close") ||
			!strings.Contains(text, "the header content-length is not sent") {
			t.Errorf("warnings %q do not say what was replaced", text)
		}
	})
}

// A server may answer before it has read the body, and read no more of it, before a request has come at all, or while it comes.
func TestAnAnswerBeforeTheBody(t *testing.T) {
	const early = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	body := bytes.Repeat([]byte("x"), 16<<20)
	for name, serve := range map[string]func(c net.Conn, in *bufio.Reader, stop <-chan struct{}){
		"reads none of it": func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
			in.ReadString('\n')
			io.WriteString(c, early)
			c.(interface{ CloseWrite() error }).CloseWrite()
			<-stop
		},
		"and resets": func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
			in.ReadString('\n')
			io.WriteString(c, early)
		},
		"keeps the connection": func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
			in.ReadString('\n')
			io.WriteString(c, strings.Replace(early, "Connection: close\r\n", "", 1))
			<-stop
		},
		"in pieces, while it comes": func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
			for i, piece := range []string{early[:20], early[20:50], early[50:]} {
				in.Discard(100_000 * (i + 1))
				io.WriteString(c, piece)
			}
			io.Copy(io.Discard, in)
		},
	} {
		t.Run(name, func(t *testing.T) {
			plain, secure := listenOdd(t, serve)
			w := Workload{Targets: []Target{{Method: "POST", Body: body}}, Clients: 2, Requests: 4, Expect: Expect{Status: []int{413}},
				Timeouts: Timeouts{Header: 8 * time.Second, Body: 8 * time.Second}}
			withWays(t, plain, secure, w, allOK(4))
		})
	}
	t.Run("before the request", func(t *testing.T) {
		plain, secure := listenOdd(t, func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
			io.WriteString(c, "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			if s, isTLS := c.(*tls.Conn); isTLS {
				s.CloseWrite()
			} else {
				c.(*net.TCPConn).CloseWrite()
			}
			in.ReadByte()
		})
		w := Workload{Targets: []Target{{}}, Clients: 2, Requests: 20, Expect: Expect{Status: []int{503}}}
		withWays(t, plain, secure, w, allOK(20))
	})
}

func TestOddHeaders(t *testing.T) {
	for text, want := range map[string]struct {
		more  bool
		bytes int64
	}{
		fmt.Sprintf(okAnswer, "Content-Security-Policy: default-src 'self';\r\n\tscript-src 'self'\r\n"):                          {true, 3},
		fmt.Sprintf(okAnswer, "X: a\r\n \r\n  b: c\r\n"):                                                                          {true, 3},
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n 3\r\n\r\nok\n":                                                                    {true, 3},
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nok\n":                                                   {true, 3},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":                                        {true, 3},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":                   {true, 3},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 99\r\n\r\n3\r\nabc\r\n0\r\n\r\n":                    {true, 3},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nabcd":                                             {false, 4},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab":                                           {true, 2},
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nabcd":                {false, 4},
		"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n":                                                                    {true, 0},
		"HTTP/1.1 205 Reset Content\r\n\r\n":                                                                                      {true, 0},
		"HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                               {true, 0},
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n":                                                                  {true, 0},
		"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n":                                                         {true, 0},
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n":                                           {false, 0},
		"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1  200\r\nContent-Length: 1\r\n\r\nx": {true, 1},
	} {
		t.Run(text[9:min(len(text), 70)], func(t *testing.T) {
			plain, secure := listenOdd(t, answering(func(*http.Request, int) (string, bool) { return text, want.more }))
			w := Workload{Targets: []Target{{}}, Clients: 2, Requests: 6, Timeouts: Timeouts{Header: 8 * time.Second, Body: 8 * time.Second}}
			withWays(t, plain, secure, w, func(t *testing.T, end history.LoadEndRecord, m *memory) {
				allOK(6)(t, end, m)
				if n := m.total().Bytes; n != 6*want.bytes {
					t.Errorf("%d bytes, want %d", n, 6*want.bytes)
				}
			})
		})
	}
}

// What is not HTTP is shown as it came, but printable, with the number of its line.
func TestMalformedAnswersAreQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"SSH-2.0-OpenSSH_9.9\r\n": `line 1 of the header: the answer does not begin like HTTP/1.x: "SSH-2.0-OpenSSH_9.9`,
		"HTTP/2 200\r\n\r\n":      `"HTTP/2 200`,
		"HTTP/1.1 2OO OK\r\n\r\n": `line 1 of the header: the status is no number of three digits: "HTTP/1.1 2OO OK"`,
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nno colon\x1b[31m\r\n\r\n":                     `line 4 of the header: a header line has no colon: "no colon\x1b[31m"`,
		"HTTP/1.1 200 OK\r\n A: b\r\n\r\n":                                              `line 2 of the header: the first header line begins with a blank`,
		"HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\n":                                           `line 2 of the header: the name of a header holds "\x00"`,
		"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello":                            `the length is no number: "Content-Length: 5x"`,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello":        `line 3 of the header: the length was 5 in an earlier line: "Content-Length: 6"`,
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n":               `the length is no number`,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n":                   `a transfer coding after chunked`,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\xff\r\nhello\r\n0\r\n": `the body's chunk has no hexadecimal length: "zz\xff"`,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n":           `the body's chunk does not end where it should: "llo"`,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x",
			maxHead): `the header is longer than 64 KiB: "HTTP/1.1 200 OK\r\nX: xx`,
	} {
		plain, _ := listenOdd(t, answering(func(*http.Request, int) (string, bool) { return text, false }))
		var m memory
		w := Workload{Targets: []Target{{URL: plain}}, Clients: 1, Requests: 1, MaxSamples: 10}
		if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
			t.Fatal(err)
		}
		if s := m.samples[0]; s.Class != history.Malformed || !strings.Contains(s.Error, want) {
			t.Errorf("%.60q: %s: %s, want %s", text, s.Class, s.Error, want)
		}
	}
}

// oddAnswer makes an odd but legal answer to a GET or, with head, to a HEAD. closes tells whether the connection ends with it.
func oddAnswer(r *rand.Rand, head bool) (text string, closes bool) {
	one := func(words ...string) string { return words[r.IntN(len(words))] }
	var b strings.Builder
	for range r.IntN(3) {
		fmt.Fprintf(&b, "HTTP/1.1 %s\r\n%s\r\n", one("100 Continue", "102 Processing", "103 Early Hints", "199 "),
			one("", "Link: </a>; rel=x\r\n", "X: a,\r\n\tb\r\n"))
	}
	old := r.IntN(4) == 0
	status := one("200 OK", "200 ", "200", "200  a  b", "201 Created", "204 No Content", "206 x", "299 \xc3\xa9", "302 Found",
		"304 Not Modified", "400 Bad", "404 ", "500 No", "599 x")
	fmt.Fprintf(&b, "HTTP/1.%s %s\r\n", map[bool]string{true: "0", false: "1"}[old], status)
	var fields []string
	spell := func(name string) string { return one(name, strings.ToLower(name), strings.ToUpper(name)) }
	field := func(name, value string) {
		value = one("", " ", "  ", "\t", "\r\n ", "\r\n\t \t") + value + one("", " ", "\t", " \r\n ")
		fields = append(fields, spell(name)+":"+value+"\r\n")
	}
	list := func(words ...string) string {
		return strings.Join(words, one(",", ", ", " ,", ",\t", ", ,", ",\r\n ", ",,"))
	}
	for range r.IntN(4) {
		field(one("X-Odd", "Set-Cookie", "Via", "X-", "Server", "Vary", ReplicaHeader), one("a", "", "a: b", `"q, \"x"`, "close", "chunked",
			"a\r\n b\r\n\tc", "\xc3\xa9", strings.Repeat("y", r.IntN(300))))
	}
	// Persistence, in all spellings.
	says := ""
	switch r.IntN(6) {
	case 0:
		says = "close"
		field("Connection", one("close", "Close", "CLOSE"))
	case 1:
		says = "keep"
		field("Connection", one("keep-alive", "Keep-Alive"))
	case 2:
		says = "close"
		field("Connection", list(one("Upgrade", "x"), "close"))
	case 3:
		says = "keep"
		field("Connection", list(one("Keep-Alive", "keep-alive"), one("x", "TE")))
	case 4:
		says = "close"
		field("Connection", one("keep-alive", "x"))
		field("Connection", "close")
	}
	closes = says == "close" || (old && says != "keep")
	code := status[:3]
	bodiless := head || code == "204" || code == "304"
	body := strings.Repeat(one("z", "\r\n", "HTTP/1.1 200 OK\r\n\r\n", "0\r\n\r\n"), r.IntN(40))
	framed := body
	switch kind := r.IntN(4); {
	case kind == 0 && !old: // chunks
		// net/http does not take the blanks of an empty folded line from this value, so it has none here.
		fields = append(fields, spell("Transfer-Encoding")+":"+one("", " ", "\r\n\t")+one("chunked", "Chunked", "CHUNKED")+"\r\n")
		if r.IntN(4) == 0 { // which is overridden
			field("Content-Length", strconv.Itoa(r.IntN(99)))
		}
		var c strings.Builder
		for left := body; left != ""; {
			n := 1 + r.IntN(len(left))
			fmt.Fprintf(&c, one("%x", "%X", "0%x", "000%x")+"%s\r\n%s\r\n", n, one("", ";a", ";a=b", `;a="b;c"`, ";a=b;c", " ", "\t"), left[:n])
			left = left[n:]
		}
		c.WriteString(one("0", "000", "0;last") + "\r\n" + one("", "X-Trailer: 1\r\n", "A: b\r\nC: d\r\n", "A: b\r\n\tc\r\n") + "\r\n")
		framed = c.String()
	case kind == 1 && !bodiless: // until the end
		closes = true
	default:
		length := one("", "0", "00") + strconv.Itoa(len(body))
		for range 1 + r.IntN(3)/2 {
			field("Content-Length", length)
		}
	}
	if bodiless {
		framed = ""
	}
	r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, f := range fields {
		b.WriteString(f)
	}
	return b.String() + "\r\n" + framed, closes
}

// What our own code says of odd but legal answers is what net/http says: the status, the length of the body, whether there was a
// failure, and how many connections were needed.
func TestOddAnswersAreReadAsByNetHTTP(t *testing.T) {
	answers := 2000
	if race.Enabled { // the gate plays all of them without
		answers = 300
	}
	texts, ends := make([]string, answers), make([]bool, answers)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range texts {
		texts[i], ends[i] = oddAnswer(r, i%7 == 0)
	}
	var connections atomic.Int64
	serve := answering(func(r *http.Request, _ int) (string, bool) {
		i, _ := strconv.Atoi(r.URL.Path[1:])
		return texts[i], !ends[i]
	})
	plain, secure := listenOdd(t, func(c net.Conn, in *bufio.Reader, stop <-chan struct{}) {
		connections.Add(1)
		serve(c, in, stop)
	})
	type reading struct {
		status int
		bytes  int64
		failed string
	}
	var want []reading
	client := http.Client{Transport: &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	method := func(i int) string {
		if i%7 == 0 {
			return "HEAD"
		}
		return "GET"
	}
	for i := range texts {
		req, err := http.NewRequestWithContext(t.Context(), method(i), plain+"/"+strconv.Itoa(i), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("net/http does not read answer %d, %q: %v", i, texts[i], err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatalf("net/http does not read the body of answer %d, %q: %v", i, texts[i], err)
		}
		want = append(want, reading{status: resp.StatusCode, bytes: n})
	}
	client.CloseIdleConnections()
	needed := connections.Swap(0)
	for _, base := range []string{plain, secure} {
		for name, player := range players {
			if base == secure && name == "loops" {
				continue // there are none with TLS
			}
			w := Workload{Clients: 1, Requests: int64(answers), MaxSamples: int64(answers), Transport: Transport{Insecure: true},
				Timeouts: Timeouts{Header: 10 * time.Second, Body: 10 * time.Second}}
			for status := 200; status < 600; status++ {
				w.Expect.Status = append(w.Expect.Status, status)
			}
			for i := range texts {
				w.Targets = append(w.Targets, Target{Method: method(i), URL: base + "/" + strconv.Itoa(i)})
			}
			var m memory
			if _, err := player.Run(t.Context(), w, time.Now(), &m); err != nil {
				t.Fatal(err)
			}
			for _, s := range m.samples {
				got := reading{s.Status, s.Bytes, string(s.Class)}
				if got != want[s.Seq] {
					t.Fatalf("%s %s: answer %d, %q:\n got %+v (%s)\nwant %+v", base[:5], name, s.Seq, texts[s.Seq], got, s.Error, want[s.Seq])
				}
			}
			if n := connections.Swap(0); n != needed {
				t.Errorf("%s %s: %d connections, net/http needed %d", base[:5], name, n, needed)
			}
		}
	}
}
