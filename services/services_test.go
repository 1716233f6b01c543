package services_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"coinbench/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replica is a supervised service in this process.
type replica struct {
	Listen, Admin string
	stop          chan os.Signal
	stdin         io.Closer
	done          chan error
	log           *lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, name string, env map[string]string) *replica {
	t.Helper()
	fd3, announced := io.Pipe()
	stdin, keep := io.Pipe()
	r := &replica{stop: make(chan os.Signal, 1), stdin: keep, done: make(chan error, 1), log: &lines{}}
	all := map[string]string{"COIN_SUPERVISED": "true", "COIN_ADMIN_LISTEN": "127.0.0.1:0"}
	if name != "worker" {
		all["COIN_LISTEN"] = "127.0.0.1:0"
	}
	for k, v := range env {
		all[k] = v
	}
	go func() {
		r.done <- services.Run(context.Background(), name, all, services.IO{
			Host: name + "-host", Log: r.log, Stop: r.stop, Stdin: stdin,
			Announce: func() (io.WriteCloser, error) { return announced, nil },
		})
	}()
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(fd3).ReadString('\n')
		line <- s
		fd3.Close()
	}()
	select {
	case s := <-line:
		if err := json.Unmarshal([]byte(s), r); err != nil {
			t.Fatalf("%s announced %q: %v", name, s, err)
		}
	case err := <-r.done:
		t.Fatalf("%s: %v", name, err)
	case <-time.After(30 * time.Second):
		t.Fatalf("%s announces nothing", name)
	}
	t.Cleanup(func() {
		keep.Close() // the supervisor is gone
		select {
		case err := <-r.done:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s outlives its supervisor", name)
		}
	})
	return r
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// The whole app on real sockets mines, counts and stops.
func TestApp(t *testing.T) {
	redis := miniredis.RunT(t)
	rng := start(t, "rng", map[string]string{"COIN_DELAY": "2ms"})
	hasher := start(t, "hasher", map[string]string{"COIN_DELAY": "2ms"})
	hosts := "rng:80=" + rng.Listen + ",hasher:80=" + hasher.Listen + ",redis:6379=" + redis.Addr()
	worker := start(t, "worker", map[string]string{"COIN_THINK": "2ms", "COIN_HOSTS": hosts})
	webui := start(t, "webui", map[string]string{"COIN_HOSTS": hosts})

	var state struct {
		Coins  int64
		Hashes *string
		Now    float64
	}
	eventually(t, "hashes and coins in /json", func() bool {
		status, body := get(t, "http://"+webui.Listen+"/json")
		if status != 200 {
			return false
		}
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return state.Hashes != nil && *state.Hashes != "0" && state.Coins > 0
	})
	for _, r := range []*replica{rng, hasher, worker, webui} {
		if status, _ := get(t, "http://"+r.Admin+"/healthz"); status != 200 {
			t.Errorf("/healthz of %s: %d", r.log, status)
		}
	}
	for name, r := range map[string]*replica{
		`coinbench_requests_total{code="200",method="GET"}`:  rng,
		`coinbench_requests_total{code="200",method="POST"}`: hasher,
		`coinbench_busy_seconds_total`:                       rng,
		`coinbench_concurrency 20`:                           hasher,
		`coinbench_worker_posted_total`:                      worker,
		`process_cpu_seconds_total`:                          worker,
	} {
		if _, body := get(t, "http://"+r.Admin+"/metrics"); !strings.Contains(body, name) {
			t.Errorf("no %s in the metrics of %s", name, r.log)
		}
	}

	worker.stop <- os.Interrupt
	eventually(t, "the worker drains", func() bool { s, _ := get(t, "http://"+worker.Admin+"/healthz"); return s == 0 })
	log := worker.log.String()
	for _, want := range []string{"INFO:__main__:0 units of work done, updating hash counter\n", "INFO:__main__:Coin found: 0"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the worker's log:\n%s", want, log)
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, test := range []struct {
		name, variable, value, want string
	}{
		{"rng", "COIN_DELAY", "fast", `COIN_DELAY="fast": not a duration; accepted: a duration such as 100ms, at least 0s`},
		{"gnr", "PATH", "", `unknown service "gnr"; there are rng, hasher, worker, webui, gateway`},
		{"rng", "COIN_SUPERVISED", "true", "rng: COIN_SUPERVISED needs a supervisor: a standard input and file descriptor 3"},
	} {
		err := services.Run(t.Context(), test.name, map[string]string{test.variable: test.value}, services.IO{})
		if err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}
