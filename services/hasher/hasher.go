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
	"net/http"
	"strconv"
	"time"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// Run serves until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	return serve.Work(ctx, s, p, Handler, accessLine, "== hasher has taken the stage on %s")
}

// accessLine is written as Rack does.
func accessLine(r *http.Request, status int, size int64, took time.Duration) string {
	length := "-"
	if size > 0 {
		length = strconv.FormatInt(size, 10)
	}
	return fmt.Sprintf("%s %s %.4f", serve.CommonLine(r, time.Now().Format("02/Jan/2006:15:04:05 -0700"), status), length, took.Seconds())
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
