package serve

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"coinbench/services/settings"
)

const (
	maxHeader   = 64 << 10         // bytes of a request line and its headers
	idleTimeout = 30 * time.Second // a kept connection without a request; Thin's
)

// noLog takes net/http's complaints about broken clients: they are counted where they matter.
var noLog = log.New(io.Discard, "", 0)

// AccessLine is what the log says of one answered request; size is that of the answer's body.
type AccessLine func(r *http.Request, status int, size int64, took time.Duration) string

// CommonLine is what access lines begin with, in the Common Log Format but for the format of the time.
func CommonLine(r *http.Request, at string, status int) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return fmt.Sprintf("%s - - [%s] %q %d", host, at, r.Method+" "+r.RequestURI+" "+r.Proto, status)
}

// named says in every answer who gave it.
func named(s settings.Settings, p Process, next http.Handler) http.Handler {
	replica := Replica(s, p)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Coinbench-Replica", replica)
		w.Header().Set("X-Coinbench-Version", s.Version)
		next.ServeHTTP(w, r)
	})
}

// occupied passes the server time that every request takes, and injects errors.
func occupied(s settings.Settings, p Process, next http.Handler) http.Handler {
	c := newChance(seed(s, p), 2)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Occupancy > 0 {
			p.Sleep(s.Occupancy)
		}
		if s.ErrorRate > 0 && c.draw((*rand.Rand).Float64) < s.ErrorRate {
			http.Error(w, http.StatusText(s.ErrorStatus), s.ErrorStatus)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answer is a ResponseWriter that remembers what was answered and gives each write its own deadline.
type answer struct {
	http.ResponseWriter
	timeout time.Duration
	status  int
	size    int64
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.extend()
	n, err := a.ResponseWriter.Write(b)
	a.size += int64(n)
	return n, err
}

// extend gives the next write its time. A deadline that an earlier request on the same connection left must not end
// this one's.
func (a *answer) extend() {
	if a.timeout > 0 {
		http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.timeout)) // fails only where there is no connection
	}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// observed calls the handler, counts its answer and logs it.
func observed(m *metrics, lines *log.Logger, line AccessLine, timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		a := &answer{ResponseWriter: w, timeout: timeout}
		next.ServeHTTP(a, r)
		a.extend() // what is buffered is sent after this
		if a.status == 0 {
			a.status = http.StatusOK // net/http's own default for a handler that said nothing
		}
		m.answered(a.status, r.Method)
		if line != nil {
			lines.Print(line(r, a.status, a.size, time.Since(begin)))
		}
	})
}
