package engineapi

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Request is what was sent to the engine.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	Body   []byte // where it is JSON
}

// Recorder is between clients and an engine and keeps what they ask.
type Recorder struct {
	mu       sync.Mutex
	requests []Request
	server   *http.Server
	done     chan struct{}
	inner    *http.Transport
}

// Record listens on a unix socket and hands everything on to the engine's.
func Record(socket, engine string) (*Recorder, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	r := &Recorder{done: make(chan struct{}), inner: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", engine)
	}}}
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Transport: r.inner, FlushInterval: -1, ErrorLog: quiet,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "engine"
			r.keep(p.Out)
		},
	}
	r.server = &http.Server{Handler: proxy, ErrorLog: quiet}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(l)
	}()
	return r, nil
}

func (r *Recorder) keep(q *http.Request) {
	k := Request{Method: q.Method, Path: q.URL.Path, Query: q.URL.Query()}
	if q.Body != nil && strings.HasPrefix(q.Header.Get("Content-Type"), "application/json") {
		k.Body, _ = io.ReadAll(q.Body)
		q.Body = io.NopCloser(bytes.NewReader(k.Body))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, k)
}

// Requests are those so far.
func (r *Recorder) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Request{}, r.requests...)
}

// Close ends the recorder and every connection through it.
func (r *Recorder) Close() {
	_ = r.server.Close()
	<-r.done
	r.inner.CloseIdleConnections()
}
