// Package hasher is the service that hashes: POST / answers with the SHA-256 of the body, after a while.
//
// By default it serves 20 requests at a time from one queue, GET / included, as the original does on Thin, whose
// reactor hands each request to a pool of 20 threads.
package hasher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// Run serves until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	p = p.WithDefaults()
	lines := log.New(p.Log, "", 0)
	return serve.Service{
		Settings:  s,
		Handler:   Handler(serve.Replica(s, p), s.MaxBytes, serve.Delay(s, p)),
		AccessLog: accessLog(lines),
		Started: func(addr net.Addr) {
			lines.Printf("== hasher has taken the stage on %s", addr)
		},
	}.Run(ctx, p)
}

// accessLog writes lines as Rack does.
func accessLog(lines *log.Logger) serve.AccessLog {
	return func(r *http.Request, status int, size int64, took time.Duration) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		length := "-"
		if size > 0 {
			length = strconv.FormatInt(size, 10)
		}
		lines.Printf("%s - - [%s] %q %d %s %.4f", host, time.Now().Format("02/Jan/2006:15:04:05 -0700"), r.Method+" "+r.RequestURI+" "+r.Proto,
			status, length, took.Seconds())
	}
}

// Handler answers GET / with the replica's name, and POST / with the hash of a body of at most limit bytes after the
// delay. Like Sinatra, it knows no other method: everything else is not found.
func Handler(replica string, limit int64, delay func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			answer(w, http.StatusOK, "text/html;charset=utf-8", "HASHER running on "+replica+"\n")
		case r.URL.Path == "/" && r.Method == http.MethodPost:
			if r.ContentLength > limit {
				tooLarge(w, limit)
				return
			}
			hash := sha256.New()
			delay() // then the work, as in the original
			_, err := io.Copy(hash, http.MaxBytesReader(w, r.Body, limit))
			var tooMany *http.MaxBytesError
			switch {
			case errors.As(err, &tooMany):
				tooLarge(w, limit)
			case err != nil:
				answer(w, http.StatusBadRequest, "text/plain;charset=utf-8", "the body could not be read\n")
			default:
				answer(w, http.StatusOK, "text/plain;charset=utf-8", hex.EncodeToString(hash.Sum(nil)))
			}
		default:
			answer(w, http.StatusNotFound, "text/html;charset=utf-8", "<h1>Not Found</h1>")
		}
	})
}

func tooLarge(w http.ResponseWriter, limit int64) {
	w.Header().Set("Connection", "close") // the rest of the body is not wanted
	answer(w, http.StatusRequestEntityTooLarge, "text/plain;charset=utf-8", fmt.Sprintf("at most %d bytes\n", limit))
}

func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}
