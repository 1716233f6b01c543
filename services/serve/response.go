package serve

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"
)

// response is an http.ResponseWriter that speaks HTTP/1.0: no keep-alive, no chunks, the end of the connection is
// the end of an answer without Content-Length. Short answers leave in one segment.
type response struct {
	conn    net.Conn
	header  http.Header
	timeout time.Duration
	head    bool // the answer to a HEAD has no body

	status int
	out    *bufio.Writer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 { // HTTP/1.0 has no interim answers
		return
	}
	w.status = status
	w.out = bufio.NewWriterSize(deadlineWriter{w.conn, w.timeout}, 16<<10)
	h := w.header
	if h.Get("Date") == "" {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	h.Set("Server", "coinbench")
	h.Set("Connection", "close")
	fmt.Fprintf(w.out, "HTTP/1.0 %03d %s\r\n", status, http.StatusText(status))
	h.Write(w.out)
	w.out.WriteString("\r\n")
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		if w.header.Get("Content-Type") == "" {
			w.header.Set("Content-Type", http.DetectContentType(b))
		}
		w.WriteHeader(http.StatusOK)
	}
	if w.head {
		return len(b), nil
	}
	return w.out.Write(b)
}

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }

// finish sends what is left of the answer.
func (w *response) finish() {
	if w.status == 0 { // a handler that wrote no body: to a HEAD it may have said how long it would be
		if w.header.Get("Content-Length") == "" {
			w.header.Set("Content-Length", "0")
		}
		w.WriteHeader(http.StatusOK)
	}
	w.out.Flush() // a client that is gone misses nothing
}

// deadlineWriter gives each write to a client the time that it may take, so that one that stops reading cannot hold
// the server for ever.
type deadlineWriter struct {
	conn    net.Conn
	timeout time.Duration
}

func (w deadlineWriter) Write(b []byte) (int, error) {
	if w.timeout > 0 {
		w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	return w.conn.Write(b)
}
