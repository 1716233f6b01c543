// Package webui is the service that shows the speed of the mining: a page with a live graph, and /json behind it.
//
// The page and everything it needs is ours and in the binary: it works without a network.
package webui

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

//go:embed files
var files embed.FS

// patience is how long an answer waits for Redis. The original waits for ever, with the browser.
const patience = 2 * time.Second

// Run serves until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	p = p.WithDefaults()
	lines := log.New(p.Log, "", 0)
	options := serve.Redis(s, p)
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = patience, patience, patience
	options.ContextTimeoutEnabled, options.PoolSize = true, 4
	client := redis.NewClient(&options)
	defer client.Close()
	return serve.Service{
		Settings:   s,
		Handler:    Handler(redisCounters{client}, lines, serve.Delay(s, p)),
		AccessLine: accessLine,
		Running:    "WEBUI running on %s",
	}.Run(ctx, p)
}

// accessLine is written as morgan's common format does.
func accessLine(r *http.Request, status int, size int64, _ time.Duration) string {
	return serve.CommonLine(r, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), status) + " " + strconv.FormatInt(size, 10)
}

// Counters is where the page's numbers come from.
type Counters interface {
	// Read returns how many coins are in the wallet and the counter of hashes, nil before there is one.
	Read(ctx context.Context) (coins int64, hashes *string, err error)
}

type redisCounters struct{ client *redis.Client }

func (c redisCounters) Read(ctx context.Context) (int64, *string, error) {
	var coins *redis.IntCmd
	var hashes *redis.StringCmd
	_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		coins = p.HLen(ctx, "wallet")
		hashes = p.Get(ctx, "hashes")
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, nil, err
	}
	if err := coins.Err(); err != nil {
		return 0, nil, err
	}
	text, err := hashes.Result()
	switch {
	case errors.Is(err, redis.Nil):
		return coins.Val(), nil, nil
	case err != nil:
		return 0, nil, err
	}
	return coins.Val(), &text, nil
}

// Handler redirects GET / to the page, serves the page's files, and answers GET /json.
func Handler(counters Counters, lines *log.Logger, delay func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/index.html", http.StatusFound)
	})
	for name, contentType := range map[string]string{
		"index.html": "text/html; charset=utf-8",
		"style.css":  "text/css; charset=utf-8",
		"graph.js":   "text/javascript; charset=utf-8",
		"icon.svg":   "image/svg+xml",
	} {
		b, err := files.ReadFile("files/" + name)
		if err != nil {
			panic(err) // the names are those of the embedded files
		}
		// Not http.FileServer: that redirects /index.html back to /.
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { serveFile(w, contentType, b) })
	}
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, r *http.Request) {
		delay()
		// A deadline of its own, not the request's context: a browser that goes away does not make an error of Redis.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
		defer cancel()
		answer(ctx, w, counters, lines)
	})
	return mux
}

func serveFile(w http.ResponseWriter, contentType string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(b)
}

// state is the answer of /json, with the original's types.
type state struct {
	Coins  int64   `json:"coins"`
	Hashes *string `json:"hashes"` // a string, for that is what Redis has; null before the first flush
	Now    float64 `json:"now"`    // seconds since 1970, to the millisecond
}

func answer(ctx context.Context, w http.ResponseWriter, counters Counters, lines *log.Logger) {
	coins, hashes, err := counters.Read(ctx)
	var body []byte
	status := http.StatusOK
	if err != nil {
		lines.Printf("Redis error %v", err)
		status = http.StatusServiceUnavailable
		body = []byte(`{"error":"redis does not answer"}`)
	} else {
		body, _ = json.Marshal(state{Coins: coins, Hashes: hashes, Now: float64(time.Now().UnixMilli()) / 1000}) // cannot fail
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}
