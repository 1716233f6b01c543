package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// What our own code does not speak (HTTP/2, redirects, proxies) goes through net/http, with the same record: connect time and first
// byte come from httptrace, and nothing that a server may have processed is repeated behind our back.

// newTransport is net/http's, with the workload's limits and the guard.
func (e *engine) newTransport() (*http.Transport, error) {
	w := &e.w
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return e.dialTo(ctx, address)
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: w.Transport.Insecure},
		TLSHandshakeTimeout:    w.Timeouts.Connect,
		ResponseHeaderTimeout:  w.Timeouts.Header,
		DisableKeepAlives:      w.Reuse.PerRequest,
		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true, // bytes are counted as they come
		MaxIdleConnsPerHost:    max(w.Clients, w.Connections, defaultConnections),
		Protocols:              new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(true)
	if w.Transport.HTTP2 {
		tr.Protocols.SetHTTP2(true)
		for i := range e.targets {
			if e.targets[i].url.Scheme == "http" { // prior knowledge: nothing is negotiated in the clear
				tr.Protocols.SetHTTP1(false)
				tr.Protocols.SetUnencryptedHTTP2(true)
			}
		}
	}
	if w.Transport.Proxy != "" {
		u, err := parseProxy(w.Transport.Proxy)
		if err != nil {
			return nil, err
		}
		tr.Proxy = http.ProxyURL(u)
	}
	return tr, nil
}

// newClient makes the client that all connections of a load that net/http plays share.
func (e *engine) newClient() (*http.Client, error) {
	tr, err := e.newTransport()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     once{tr, e},
		CheckRedirect: e.checkRedirect,
	}, nil
}

func (e *engine) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > e.w.Transport.Redirects {
		return http.ErrUseLastResponse
	}
	// Before it is dialled: a proxy would dial it for us.
	return e.player.Guard.redirect(r.Context(), r.URL.Hostname())
}

// once keeps net/http from sending a request again by itself. Over HTTP/1.1 it repeats those that it thinks harmless when a kept
// connection fails: a body that cannot be had a second time forbids it. Over HTTP/2 it repeats only what the server says that it has
// not processed (GOAWAY, REFUSED_STREAM), on a new connection, as it should.
type once struct {
	*http.Transport
	e *engine
}

func (o once) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.e.speaksHTTP2() {
		return o.Transport.RoundTrip(r)
	}
	c := *r
	c.GetBody = nil
	if c.Body == nil && repeatable(r) {
		c.Body = io.NopCloser(strings.NewReader("")) // net/http looks and finds it empty: no length and no chunk is sent
	}
	return o.Transport.RoundTrip(&c)
}

// speaksHTTP2 tells whether connections are HTTP/2; before the first one has been made, whether they are meant to be.
func (e *engine) speaksHTTP2() bool { return e.w.Transport.HTTP2 && !e.oldTLS.Load() }

// repeatable tells whether net/http would send a request without a body twice.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// hooks is what httptrace tells, from goroutines of its own that may outlive the request. Of a request that was redirected
// it keeps the first connection and the last first byte.
type hooks struct {
	mu         sync.Mutex
	got        bool
	reused     bool
	conn, byte time.Duration
}

func (h *hooks) connected(now time.Duration, reused bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.got {
		h.got, h.reused, h.conn = true, reused, now
	}
}

func (h *hooks) firstByte(now time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byte = now
}

func (h *hooks) report(o *outcome) (got, reused bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.first = h.byte; h.got && !h.reused {
		o.connect = max(h.conn-o.sent, 1)
	}
	return h.got, h.reused
}

var errBodyTimeout = errors.New("the body did not come in time")

// doNetHTTP is do by way of net/http.
func (s *connection) doNetHTTP(ctx context.Context, p *prepared, o *outcome) {
	e := s.e
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var h hooks
	trace := httptrace.ClientTrace{
		GotConn:              func(i httptrace.GotConnInfo) { h.connected(e.now(), i.Reused) },
		GotFirstResponseByte: func() { h.firstByte(e.now()) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil && state.NegotiatedProtocol != "h2" {
				e.oldTLS.Store(true)
			}
		},
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &trace), p.target.Method, p.target.URL, nil)
	if err != nil {
		s.fail(o, e.now(), connectFailed, err)
		return
	}
	if len(p.target.Body) > 0 {
		body := string(p.target.Body)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil } // for redirects
	}
	e.setHeader(req, p.target.Header)
	resp, err := e.client.Do(req)
	got, reused := h.report(o)
	if o.connect > 0 && retransmitted(o.connect) {
		e.retried.Add(1)
	}
	if err != nil {
		class := classifyForeign(err, o, got, reused)
		s.fail(o, e.now(), class, unwrapURL(err))
		return
	}
	// The body of 101 is another protocol, and 205 has none, though some servers do not say so (RFC 9110, section 15.3.6). 304 may have the
	// length of what was not sent (section 8.6), which net/http misses over HTTP/2.
	if slices.Contains([]int{http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusNotModified}, resp.StatusCode) ||
		(resp.StatusCode == http.StatusResetContent && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0) {
		resp.Body.Close()
		resp.Body = http.NoBody
	}
	defer resp.Body.Close()
	o.done = e.now()
	o.status = int16(resp.StatusCode)
	o.replica = s.a.who[0].lookup(e.replicas, []byte(resp.Header.Get(ReplicaHeader)))
	if name := resp.Header.Get("Server"); name != "" {
		name = printable([]byte(name))
		e.server.CompareAndSwap(nil, &name)
	}
	o.version = s.a.who[1].lookup(e.versions, []byte(resp.Header.Get(VersionHeader)))
	if t := e.w.Timeouts.Body; t > 0 {
		timer := time.AfterFunc(t, func() { cancel(errBodyTimeout) })
		defer timer.Stop()
	}
	if s.buf == nil {
		s.buf = make([]byte, readBuffer)
	}
	check := bodyCheck{want: e.w.Expect.Body}
	for {
		n, err := resp.Body.Read(s.buf)
		if n > 0 {
			check.see(s.buf[:n])
			o.bytes += int64(n)
			o.done = e.now()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			class := resetInBody
			if errors.Is(context.Cause(ctx), errBodyTimeout) {
				class, err = bodyTimeout, errBodyTimeout
			} else if isMalformed(err) {
				class = malformed
			}
			s.fail(o, e.now(), class, err)
			return
		}
	}
	if o.class = e.judge(o, &check); o.class != ok {
		o.err = e.unexpected(o)
	}
}

// setHeader gives a request the headers of its target, as they are spelled.
func (e *engine) setHeader(req *http.Request, header http.Header) {
	for k, vs := range header {
		name := http.CanonicalHeaderKey(k)
		if slices.Contains(framing, name) || name == "Host" || (e.w.Transport.HTTP2 && slices.Contains(hopByHop, name)) {
			continue
		}
		req.Header[k] = append(req.Header[k], vs...)
	}
	if _, host := headerOf(header, "Host"); host != "" {
		req.Host = host
	}
	switch name, _ := headerOf(header, "User-Agent"); name {
	case "":
		req.Header.Set("User-Agent", "coinbench")
	case "User-Agent":
	default:
		req.Header["User-Agent"] = []string{""} // net/http would add its own one
	}
	if name, _ := headerOf(header, "Authorization"); name != "" {
		req.URL.User = nil // of which net/http would make another one
	}
	if saysClose(header) && !e.w.Transport.HTTP2 {
		req.Close = true
	}
}

// classifyForeign is classifyDial and classifyExchange for net/http's errors.
func classifyForeign(err error, o *outcome, got, reused bool) classID {
	switch {
	case !got, errors.As(err, new(*ForeignError)):
		return classifyDial(err)
	case isUnread(err.Error()):
		return unread
	case isMalformed(err):
		return malformed
	case isTimeout(err):
		return headerTimeout
	case o.first != 0:
		return resetInBody
	case reused:
		return closedReused
	}
	return resetBeforeByte
}

// isUnread knows what net/http says of an answer in a transfer coding other than chunked. Such an answer is legal, and our own code reads
// it.
func isUnread(text string) bool { return strings.Contains(text, "unsupported transfer encoding") }

// isMalformed knows net/http's answers to what is not HTTP, which have no types. A protocol error that the server found is none of them.
func isMalformed(err error) bool {
	text := err.Error()
	if strings.Contains(text, "PROTOCOL_ERROR") {
		return !strings.Contains(text, "received from peer") && !strings.Contains(text, "GOAWAY")
	}
	return strings.Contains(text, "malformed") || strings.Contains(text, "more than declared Content-Length") ||
		strings.Contains(text, "invalid byte in chunk length") ||
		strings.Contains(text, "bad Content-Length") || strings.Contains(text, "server response headers exceeded")
}

func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
