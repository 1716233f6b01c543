package loadgen

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"coinbench/history"
)

func TestForeignTransports(t *testing.T) {
	handler := http.NewServeMux()
	handler.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ReplicaHeader, r.Proto)
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, "hello"+string(b))
	})
	handler.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/to", http.StatusFound) })
	secure, plain := servers(t, handler)
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		io.WriteString(w, "proxy")
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter

	for _, c := range []struct {
		name      string
		url       string
		transport Transport
		proto     string
		class     history.Class
	}{
		{"https", secure.URL, Transport{Insecure: true}, "HTTP/1.1", ""},
		{"https, unknown certificate", secure.URL, Transport{}, "", history.ConnectFailed},
		{"https, HTTP/2", secure.URL, Transport{Insecure: true, HTTP2: true}, "HTTP/2.0", ""},
		{"HTTP/2 in the clear", plain.URL, Transport{HTTP2: true}, "HTTP/2.0", ""},
		{"redirect", plain.URL + "/from", Transport{Redirects: 1}, "HTTP/1.1", ""},
		{"redirect as an answer", plain.URL + "/from", Transport{Insecure: true}, "", history.WrongLength},
		{"proxy", "http://127.0.0.1:1/", Transport{Proxy: proxy.URL}, "", ""},
		{"refused", "http://127.0.0.1:1/", Transport{HTTP2: true}, "", history.Refused},
	} {
		for _, open := range []bool{false, true} {
			w := Workload{Targets: []Target{{URL: c.url}}, Requests: 20, Transport: c.transport, Expect: Expect{Length: 5}, MaxSamples: 100}
			if w.Clients = 4; open {
				w.Clients, w.Schedule = 0, "1000/s"
			}
			var m memory
			end, err := Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(c.name, err)
			}
			checkConservation(t, w, end, &m)
			sum := m.total()
			if got := sum.Failures[c.class]; c.class != "" && got != 20 {
				t.Errorf("%s: %v, want 20 of %q (%s)", c.name, sum.Failures, c.class, m.samples[0].Error)
			}
			if c.class == "" && sum.OK != 20 {
				t.Errorf("%s: %v (%s)", c.name, sum.Failures, m.samples[0].Error)
			}
			if c.proto != "" && sum.Replicas[c.proto] != 20 {
				t.Errorf("%s: protocols %v, want %s", c.name, sum.Replicas, c.proto)
			}
		}
	}
	if proxied.Load() != 40 {
		t.Errorf("the proxy saw %d requests, want 40", proxied.Load())
	}
}

// Through net/http every fault has the same class as in our own loop, and nothing is sent twice.
func TestForeignFaultsHaveTheSameClass(t *testing.T) {
	target := faulty(t)
	for path, want := range faults {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			w := Workload{Targets: []Target{{URL: target + path}}, Clients: 1, Requests: 1, Transport: Transport{Redirects: 1},
				Expect:   Expect{Length: 5, Body: []byte("hello")},
				Timeouts: Timeouts{Header: 300 * time.Millisecond, Body: 300 * time.Millisecond}}
			var m memory
			if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
				t.Fatal(err)
			}
			if s := m.samples[0]; s.Class != want {
				t.Errorf("class %q (%s), want %q", s.Class, s.Error, want)
			}
		})
	}
	t.Run("once", func(t *testing.T) {
		var m memory
		w := Workload{Targets: []Target{{URL: target + "/once"}}, Clients: 1, Requests: 4, Transport: Transport{Redirects: 1}}
		if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
			t.Fatal(err)
		}
		for i, s := range m.samples {
			if want := []history.Class{history.OK, history.ClosedReused}[i%2]; s.Class != want {
				t.Errorf("request %d: %q (%s), want %q", i, s.Class, s.Error, want)
			}
		}
	})
}

// An answer in a transfer coding that net/http does not read is named so, and is the generator's fault.
func TestUnreadCodings(t *testing.T) {
	for _, coding := range []string{"gzip, chunked", "gzip", "deflate,chunked", "x-own"} {
		text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
		plain, secure := listenOdd(t, answering(func(*http.Request, int) (string, bool) { return text, false }))
		for _, w := range []Workload{
			{Targets: []Target{{URL: plain}}, Clients: 1, Requests: 2, Transport: Transport{Redirects: 1}},
			{Targets: []Target{{URL: secure}}, Clients: 1, Requests: 2, Transport: Transport{HTTP2: true, Insecure: true}},
			{Targets: []Target{{URL: plain}}, Schedule: "100/s", Requests: 2, Engine: Vegeta},
		} {
			w.MaxSamples = 2
			var m memory
			end, err := Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			if s := m.samples[0]; s.Class != history.Unread || !strings.Contains(s.Error, "unsupported transfer encoding") {
				t.Errorf("%s, %+v: %s: %s", coding, w.Transport, s.Class, s.Error)
			}
			if !slices.ContainsFunc(end.Invalid, func(text string) bool { return strings.Contains(text, "2 answers are in a transfer coding") }) {
				t.Errorf("%s, %+v: invalid: %q", coding, w.Transport, end.Invalid)
			}
		}
	}
}

// A request is the same with and without TLS, in HTTP/1.1 and HTTP/2: a POST without a body says so with its length, a GET sends no
// frame for a body that it has not, and headers keep their values however their names are spelled.
func TestRequestsAreTheSameInEveryProtocol(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		length := r.Header.Get("Content-Length")
		fmt.Fprintf(w, "%s %d %q %d %v host %s agent %q auth %q", r.Method, r.ContentLength, length, len(b), r.TransferEncoding,
			r.Host, r.Header["User-Agent"], r.Header["Authorization"])
	})
	secure, plain := servers(t, handler)
	header := http.Header{"host": {"shop.test"}, "user-agent": {"p"}, "AUTHORIZATION": {"Bearer x"}}
	for body, want := range map[string]string{
		"GET":      `GET 0 "" 0 [] host shop.test agent ["p"] auth ["Bearer x"]`,
		"POST":     `POST 0 "0" 0 [] host shop.test agent ["p"] auth ["Bearer x"]`,
		"PUT":      `PUT 0 "0" 0 [] host shop.test agent ["p"] auth ["Bearer x"]`,
		"POST abc": `POST 3 "3" 3 [] host shop.test agent ["p"] auth ["Bearer x"]`,
	} {
		method, text, _ := strings.Cut(body, " ")
		for _, url := range []string{plain.URL, secure.URL} {
			for _, transport := range []Transport{{}, {HTTP2: true}, {Redirects: 1}} {
				transport.Insecure = true
				var m memory
				w := Workload{Targets: []Target{{Method: method, URL: strings.Replace(url, "//", "//u:p@", 1), Header: header, Body: []byte(text)}},
					Clients: 1, Requests: 2, Transport: transport, Expect: Expect{Body: []byte(want)}, MaxSamples: 9}
				if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
					t.Fatal(err)
				}
				if n := m.total().OK; n != 2 {
					t.Errorf("%s to %s, %+v: %d of 2 OK: %s", body, url[:5], transport, n, m.samples[0].Error)
				}
			}
		}
	}
}

// servers serve a handler by HTTP/1.1 and HTTP/2, over TLS and in the clear.
func servers(t *testing.T, handler http.Handler) (secure, plain *httptest.Server) {
	t.Helper()
	secure = httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain = httptest.NewUnstartedServer(handler)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	t.Cleanup(plain.Close)
	return secure, plain
}

// Streams that a server says it has not processed go on a new connection, and those that it has processed are not repeated. The server
// leaves a connection open after its GOAWAY: net/http's closes it after a second, and what a slow client had not read by then is lost.
func TestGoAway(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var processed atomic.Int64
		url := listenHTTP2(t, secure, func(f *http2.Framer, id uint32, n int) error {
			if n > 20 {
				return nil
			}
			processed.Add(1)
			err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: packed(":status", "200"), EndStream: true, EndHeaders: true})
			if n == 20 && err == nil {
				err = f.WriteGoAway(id, http2.ErrCodeNo, nil)
			}
			return err
		})
		for _, w := range []Workload{{Schedule: "2000/s", Connections: 10}, {Clients: 10}} {
			processed.Store(0)
			w.Targets, w.Requests, w.MaxSamples = []Target{{URL: url}}, 500, 500
			w.Transport = Transport{HTTP2: true, Insecure: true}
			var m memory
			end, err := Run(t.Context(), w, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			allOK(500)(t, end, &m)
			if n := processed.Load(); n != 500 {
				t.Errorf("%s: the server processed %d of 500 requests", url, n)
			}
		}
	}
}

// What HTTP/2 allows is read, and what it forbids is named.
func TestOddAnswersOfHTTP2(t *testing.T) {
	type answer = func(f *http2.Framer, id uint32, n int) error
	header := func(end bool, fields ...string) answer {
		return func(f *http2.Framer, id uint32, _ int) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: packed(fields...), EndHeaders: true, EndStream: end})
		}
	}
	data := func(end bool, text string) answer {
		return func(f *http2.Framer, id uint32, _ int) error { return f.WriteData(id, end, []byte(text)) }
	}
	for _, test := range []struct {
		name   string
		frames []answer
		class  history.Class
		bytes  int64
		says   string
	}{
		{"early hints", []answer{header(false, ":status", "103", "link", "<a>"), header(false, ":status", "200"), data(true, "ok")}, history.OK, 2, ""},
		{"trailers", []answer{header(false, ":status", "200"), data(false, "ok"), header(true, "x-sum", "1")}, history.OK, 2, ""},
		{"no content", []answer{header(true, ":status", "204")}, history.OK, 0, ""},
		{"no content, with a length", []answer{header(true, ":status", "204", "content-length", "5")}, history.OK, 0, ""},
		{"not modified, with the length of what is", []answer{header(true, ":status", "304", "content-length", "99")}, history.OK, 0, ""},
		{"padding, empty frames, a ping", []answer{header(false, ":status", "200"), data(false, ""), func(f *http2.Framer, id uint32, _ int) error {
			return errors.Join(f.WriteDataPadded(id, false, []byte("o"), make([]byte, 50)), f.WritePing(false, [8]byte{}))
		}, data(false, "k"), data(true, "")}, history.OK, 2, ""},
		{"a header in three frames", []answer{func(f *http2.Framer, id uint32, _ int) error {
			block := packed(":status", "200", "x-long", strings.Repeat("a", 300))
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:3], EndStream: true}),
				f.WriteContinuation(id, false, block[3:9]), f.WriteContinuation(id, true, block[9:]))
		}}, history.OK, 0, ""},
		{"every third stream is refused first", []answer{func(f *http2.Framer, id uint32, n int) error {
			if n%3 == 0 {
				return f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			}
			return header(true, ":status", "200")(f, id, n)
		}}, history.OK, 0, ""},
		{"shorter than its length", []answer{header(false, ":status", "200", "content-length", "5"), data(true, "ok")}, history.ResetInBody, 2, ""},
		{"longer than its length", []answer{header(false, ":status", "200", "content-length", "1"), data(true, "ok")}, history.Malformed, 1, "Content-Length"},
		{"a name in capitals", []answer{header(true, ":status", "200", "X-Upper", "1")}, history.Malformed, 0, "X-Upper"},
		{"no status", []answer{header(true, "x-status", "200")}, history.Malformed, 0, "status"},
		{"reset in the middle", []answer{header(false, ":status", "200"), data(false, "o"), func(f *http2.Framer, id uint32, _ int) error {
			return f.WriteRSTStream(id, http2.ErrCodeInternal)
		}}, history.ResetInBody, 1, "INTERNAL_ERROR"},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, secure %v", test.name, secure), func(t *testing.T) {
				url := listenHTTP2(t, secure, func(f *http2.Framer, id uint32, n int) error {
					for _, frame := range test.frames {
						if err := frame(f, id, n); err != nil {
							return err
						}
					}
					return nil
				})
				w := Workload{Targets: []Target{{URL: url}}, Clients: 1, Requests: 10, MaxSamples: 10, Transport: Transport{HTTP2: true, Insecure: true},
					Expect: Expect{Status: []int{200, 204, 304}}}
				var m memory
				if _, err := Run(t.Context(), w, time.Now(), &m); err != nil {
					t.Fatal(err)
				}
				for i, s := range m.samples {
					if s.Class != test.class || s.Bytes != test.bytes || !strings.Contains(s.Error, test.says) {
						t.Fatalf("request %d: %s (%s), %d bytes; %s, %d bytes expected", i, s.Class, s.Error, s.Bytes, test.class, test.bytes)
					}
				}
			})
		}
	}
}

// listenHTTP2 serves HTTP/2 until the test ends: answer writes what a connection's n-th request (from 1) is answered.
func listenHTTP2(t *testing.T, secure bool, answer func(f *http2.Framer, id uint32, n int) error) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + listener.Addr().String()
	if secure {
		certified := httptest.NewTLSServer(nil)
		certified.Close()
		url = "https://" + listener.Addr().String()
		listener = tls.NewListener(listener, &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}})
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go serveHTTP2(c, answer)
		}
	}()
	return url
}

func serveHTTP2(c net.Conn, answer func(f *http2.Framer, id uint32, n int) error) {
	defer c.Close()
	if _, err := io.CopyN(io.Discard, c, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	err := f.WriteSettings()
	for n := 0; err == nil; {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			n++
			err = answer(f, frame.StreamID, n)
		}
	}
}

// packed is a block of headers: names and values in turn.
func packed(fields ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for field := range slices.Chunk(fields, 2) {
		encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1], Sensitive: true}) // in no table: connections differ in what they have seen
	}
	return block.Bytes()
}

// The guard is asked for every connection, wherever it comes from.
func TestTheGuardIsAtTheDial(t *testing.T) {
	var to atomic.Pointer[string]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to.Load() != nil && r.URL.Path == "/" {
			http.Redirect(w, r, *to.Load(), http.StatusFound)
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	proxy := httptest.NewServer(handler)
	defer proxy.Close()
	own := "/here"
	to.Store(&own)
	play := func(g *Guard, resolver *net.Resolver, url string, transport Transport) history.Sample {
		t.Helper()
		transport.Insecure = true
		var m memory
		w := Workload{Targets: []Target{{URL: url}}, Clients: 1, Requests: 1, Transport: transport, MaxSamples: 1,
			Timeouts: Timeouts{Connect: 2 * time.Second}}
		if _, err := (Player{Guard: g, Resolver: resolver}).Run(t.Context(), w, time.Now(), &m); err != nil {
			t.Fatal(err)
		}
		return m.samples[0]
	}
	refused := func(name string, g *Guard, s history.Sample, host string) {
		t.Helper()
		if s.Class != history.ConnectFailed || !strings.Contains(s.Error, "refuse to send load to "+host) || g.Refused() == nil {
			t.Errorf("%s: %q %s, guard says %v", name, s.Class, s.Error, g.Refused())
		}
	}
	for _, base := range []string{plain.URL, secure.URL} {
		g := NewGuard(nil, nil)
		if s := play(g, nil, base, Transport{Redirects: 2}); s.Class != history.OK || g.Refused() != nil {
			t.Errorf("a redirect to the same host: %q %s", s.Class, s.Error)
		}
		for _, http2 := range []bool{false, true} {
			if http2 && base == plain.URL {
				continue
			}
			away := "http://192.0.2.7/"
			to.Store(&away)
			g = NewGuard(nil, nil)
			refused("redirect", g, play(g, nil, base, Transport{Redirects: 2, HTTP2: http2}), "192.0.2.7")
			to.Store(&own)
		}
		if g := NewGuard([]string{"192.0.2.7"}, nil); g.redirect(t.Context(), "192.0.2.7") != nil {
			t.Error("a redirect to a host that is allowed is refused")
		}
	}
	g := NewGuard(nil, nil)
	away := "http://192.0.2.7/"
	to.Store(&away)
	refused("redirect by way of a proxy", g, play(g, nil, "http://127.0.0.1:1/", Transport{Redirects: 2, Proxy: proxy.URL}), "192.0.2.7")
	to.Store(&own)
	for _, url := range []string{"http://192.0.2.1:1/", "https://192.0.2.1:1/"} {
		for _, transport := range []Transport{{}, {HTTP2: true}, {Redirects: 1}} {
			g := NewGuard(nil, nil)
			refused(url, g, play(g, nil, url, transport), "192.0.2.1")
		}
	}

	// A name whose address was loopback when it was checked, and is another one when it is dialled.
	names := flippingDNS(t)
	flipped := 0
	for _, transport := range []Transport{{}, {HTTP2: true}, {Redirects: 1}} {
		for _, scheme := range []string{"http", "https"} {
			names.set("127.0.0.1")
			g := NewGuard(nil, names.resolver.LookupHost)
			w := Workload{Targets: []Target{{URL: scheme + "://flips.test:1/"}}}
			if err := g.Check(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			names.set("192.0.2.9")
			refused(scheme+" after the name changed", g, play(g, names.resolver, w.Targets[0].URL, transport), "flips.test")
			flipped++
		}
	}
	if flipped != 6 {
		t.Errorf("%d ways", flipped)
	}
}

// flipping is a resolver whose answer to any question is some addresses, which can be changed. Each answer begins with another one.
type flipping struct {
	addresses atomic.Pointer[[]netip.Addr]
	resolver  *net.Resolver
}

func (f *flipping) set(addresses ...string) {
	var all []netip.Addr
	for _, a := range addresses {
		all = append(all, netip.MustParseAddr(a))
	}
	f.addresses.Store(&all)
}

func flippingDNS(t *testing.T) *flipping {
	t.Helper()
	f := &flipping{}
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		b := make([]byte, 512)
		for turn := 0; ; {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			// The question again, and, if it is for an IPv4 address (type 1), the answer: name by reference, type, class, no time to live, address.
			end := 12
			for end < n && b[end] != 0 {
				end += 1 + int(b[end])
			}
			end += 5
			out := append([]byte(nil), b[:end]...)
			copy(out[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
			if b[end-3] == 1 {
				all := *f.addresses.Load()
				out[7] = byte(len(all))
				for i := range all {
					a := all[(i+turn)%len(all)].As4()
					out = append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), a[:]...)
				}
				turn++
			}
			_, _ = server.WriteTo(out, from)
		}
	}()
	f.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	return f
}

// A name with several addresses is several replicas: a connection goes to one of them, and one that refuses it is a failure, on
// every way, as it is behind a virtual address.
func TestARefusingReplicaIsNotHidden(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	names := flippingDNS(t)
	names.set("127.0.0.1", "127.0.0.3")
	target := "http://replicas.test:" + strconv.Itoa(server.Listener.Addr().(*net.TCPAddr).Port)
	for _, transport := range []Transport{{}, {Redirects: 1}} {
		w := Workload{Targets: []Target{{URL: target}}, Clients: 1, Requests: 40, Reuse: Reuse{PerRequest: true}, Transport: transport,
			MaxSamples: 40}
		var m memory
		end, err := Player{Resolver: names.resolver}.Run(t.Context(), w, time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for _, s := range m.samples {
			if s.Class == history.Refused {
				refused++
			}
		}
		if end.OK != 20 || refused != 20 {
			t.Errorf("%+v: %d answered, %d refused, want 20 each", transport, end.OK, refused)
		}
	}
}

func TestHTTPSPort(t *testing.T) {
	for text, want := range map[string]string{"http://a/": "a:80", "https://a/": "a:443", "http://[::1]:5/": "[::1]:5"} {
		u, err := url.Parse(text)
		if err != nil || hostPort(u) != want {
			t.Errorf("%s goes to %s, want %s", text, hostPort(u), want)
		}
	}
}
