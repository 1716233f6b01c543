// Package rng is the service that makes random bytes: GET /N answers with N of them, after a while.
//
// By default it serves one request at a time, GET / included, as the original does on Python's single-threaded
// development server: that is the bottleneck of the app.
package rng

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// Run serves until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	return serve.Work(ctx, s, p, Handler, accessLine, " * Running on http://%s/ (Press CTRL+C to quit)")
}

// accessLine is written as Werkzeug does.
func accessLine(r *http.Request, status int, _ int64, _ time.Duration) string {
	return serve.CommonLine(r, time.Now().Format("02/Jan/2006 15:04:05"), status) + " -"
}

// Handler answers GET / with the replica's name, and GET /N with N random bytes, at most limit, after the delay.
func Handler(replica string, limit int64, delay func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		digits := strings.TrimPrefix(r.URL.Path, "/")
		if digits != "" && strings.Trim(digits, "0123456789") != "" {
			fail(w, http.StatusNotFound)
			return
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			w.Header().Set("Allow", "GET, HEAD, OPTIONS")
			html(w, 0)
			return
		default:
			w.Header().Set("Allow", "GET, HEAD, OPTIONS")
			fail(w, http.StatusMethodNotAllowed)
			return
		}
		if digits == "" {
			body := "RNG running on " + replica + "\n"
			html(w, len(body))
			io.WriteString(w, body)
			return
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > limit {
			http.Error(w, fmt.Sprintf("at most %d bytes at a time", limit), http.StatusBadRequest)
			return
		}
		delay() // then the work, as in the original
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		if r.Method == http.MethodHead {
			return
		}
		w.WriteHeader(http.StatusOK)
		io.CopyN(w, rand.Reader, n) // in pieces: the answer is never in memory as a whole
	})
}

func html(w http.ResponseWriter, length int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(length))
}

func fail(w http.ResponseWriter, status int) {
	body := fmt.Sprintf("<!doctype html>\n<title>%[1]d %[2]s</title>\n<h1>%[2]s</h1>\n", status, http.StatusText(status))
	html(w, len(body))
	w.WriteHeader(status)
	io.WriteString(w, body)
}
