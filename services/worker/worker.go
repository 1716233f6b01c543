// Package worker is the client that mines: it asks rng for bytes, hasher for their hash, and keeps those hashes that
// begin with 0, the coins, in Redis.
//
// Its loop is the original's to the letter, because the letter is what the app teaches: a new connection for each
// call, no timeout, no look at the status, a counter that is flushed at the top of the loop when a second has passed,
// and ten seconds of silence after any exception, which also forgets what was not flushed.
package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// Run works until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	p = p.WithDefaults()
	redis := dialRedis(s, p)
	defer redis.Close()
	return run(ctx, s, p, redis)
}

// run is Run with a store of the caller's.
func run(ctx context.Context, s settings.Settings, p serve.Process, store store) error {
	admin, err := serve.StartAdmin(s, p)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Service, err)
	}
	defer admin.Close()
	w := &worker{
		settings: s,
		sleep:    p.Sleep,
		client:   client(s, p),
		store:    store,
		log:      log.New(p.Log, "", 0),
		counts:   newCounts(),
	}
	admin.Registry.MustRegister(w.counts)
	if err := serve.Announce(p, nil, admin.Addr()); err != nil {
		return fmt.Errorf("%s: %w", s.Service, err)
	}
	return serve.Supervise(ctx, s, p, admin, func(ctx context.Context, draining <-chan struct{}) error {
		defer w.client.CloseIdleConnections()
		if serve.Boot(ctx, draining, s, admin) {
			w.work(ctx, draining)
		}
		return nil
	})
}

// store is what the worker wants of Redis.
type store interface {
	// Count adds to the counter of hashes.
	Count(ctx context.Context, hashes int) error
	// Keep puts a coin into the wallet and says whether it is new.
	Keep(ctx context.Context, hash string, random []byte) (bool, error)
	// Reset forgets the connection after an error.
	Reset()
}

const (
	flushEvery = time.Second
	maxAnswer  = 32 << 20 // bytes of an answer; more is an exception
)

type worker struct {
	settings settings.Settings
	sleep    func(time.Duration)
	client   *http.Client
	store    store
	log      *log.Logger
	counts   *counts
}

// work loops for ever: an exception only makes it wait and begin again.
func (w *worker) work(ctx context.Context, draining <-chan struct{}) {
	for {
		err := w.loop(ctx, draining)
		if err == nil || ctx.Err() != nil {
			return
		}
		w.log.Printf("ERROR:__main__:In work loop:\n%v", err)
		w.log.Printf("ERROR:__main__:Waiting %s and restarting.", seconds(w.settings.Backoff))
		w.counts.exception(classify(err))
		w.store.Reset()
		w.client.CloseIdleConnections()
		if !w.backoff(ctx, draining) {
			return
		}
	}
}

// backoff waits after an exception; false: the worker is to stop instead.
func (w *worker) backoff(ctx context.Context, draining <-chan struct{}) bool {
	defer w.counts.backedOff()
	t := time.NewTimer(w.settings.Backoff)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-draining:
	}
	return false
}

// loop is work_loop of the original. It returns nil when the worker is to stop, with everything flushed.
func (w *worker) loop(ctx context.Context, draining <-chan struct{}) error {
	var deadline time.Time // zero: the first flush, of 0 hashes, comes at once and creates the counter
	done := 0
	for {
		stop := closed(draining)
		if stop || time.Now().After(deadline) {
			if err := w.flush(ctx, done); err != nil {
				return err
			}
			done = 0
			deadline = time.Now().Add(flushEvery)
		}
		if stop {
			return nil
		}
		if err := w.once(ctx); err != nil {
			return err
		}
		done++
		w.counts.looped(time.Now())
	}
}

func (w *worker) flush(ctx context.Context, done int) error {
	w.log.Printf("INFO:__main__:%d units of work done, updating hash counter", done)
	err := w.stage(stageRedis, func() error { return w.store.Count(ctx, done) })
	if err != nil {
		return &redisError{err}
	}
	w.counts.flushed(done)
	return nil
}

// once is work_once of the original.
func (w *worker) once(ctx context.Context) error {
	w.stage(stageThink, func() error { w.sleep(w.settings.Think); return nil })
	random, err := w.call(ctx, stageRNG, http.MethodGet, w.settings.RNGURL+"/32", nil)
	if err != nil {
		return err
	}
	text, err := w.call(ctx, stageHasher, http.MethodPost, w.settings.HasherURL+"/", random)
	if err != nil {
		return err
	}
	hash := string(text)
	w.counts.posted(strings.HasPrefix(hash, "0"))
	if !strings.HasPrefix(hash, "0") {
		return nil
	}
	w.log.Printf("INFO:__main__:Coin found: %s...", hash[:min(8, len(hash))])
	var created bool
	err = w.stage(stageRedis, func() (err error) {
		created, err = w.store.Keep(ctx, hash, random)
		return err
	})
	if err != nil {
		return &redisError{err}
	}
	if !created {
		w.log.Print("INFO:__main__:We already had that coin")
	}
	return nil
}

// call makes an HTTP call and returns the body of its answer, whatever the status: an error page of hasher is a hash.
func (w *worker) call(ctx context.Context, stage stage, method, url string, body []byte) ([]byte, error) {
	if d := w.settings.CallOverhead; d > 0 {
		w.stage(stageOverhead, func() error { w.sleep(d); return nil })
	}
	var answer []byte
	err := w.stage(stage, func() error {
		var reader io.Reader
		if method == http.MethodPost {
			reader = bytes.NewReader(body) // of known length: Thin does not decode chunks
		}
		r, err := http.NewRequestWithContext(ctx, method, url, reader)
		if err != nil {
			return err
		}
		r.Header.Set("User-Agent", "coinbench-worker")
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/octet-stream")
		}
		response, err := w.client.Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
		if err == nil && len(answer) > maxAnswer {
			err = fmt.Errorf("%s %s: an answer of more than %d bytes", method, url, maxAnswer)
		}
		return err
	})
	return answer, err
}

// stage does something and counts its time.
func (w *worker) stage(s stage, f func() error) error {
	begin := time.Now()
	err := f()
	w.counts.spent(s, time.Since(begin))
	return err
}

// client returns an HTTP client that behaves as Python's requests.get and requests.post do.
func client(s settings.Settings, p serve.Process) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:              nil,
			DialContext:        serve.Dialer(s, p),
			DisableKeepAlives:  !s.KeepAlive,
			DisableCompression: true,
		},
		Timeout: s.ResponseTimeout,
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// seconds writes a duration as the original does, "10s".
func seconds(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }

// redisError marks an exception that came from Redis.
type redisError struct{ err error }

func (e *redisError) Error() string { return "redis: " + e.err.Error() }
func (e *redisError) Unwrap() error { return e.err }

// isRedis says whether an exception came from Redis.
func isRedis(err error) bool {
	var r *redisError
	return errors.As(err, &r)
}
