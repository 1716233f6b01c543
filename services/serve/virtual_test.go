package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"coinbench/history"
	"coinbench/services/hasher"
	"coinbench/services/internal/memnet"
	"coinbench/services/rng"
	"coinbench/services/serve"
	"coinbench/services/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// bench is a service on a network in memory, in the virtual time of a synctest bubble.
type bench struct {
	t       *testing.T
	service string
	network *memnet.Network
	cancel  context.CancelFunc
	stop    chan os.Signal
	done    chan error
	begin   time.Time
}

// start runs a service until the test ends.
func start(t *testing.T, service string, env ...string) *bench {
	t.Helper()
	all := map[string]string{"COIN_LISTEN": service + ":80", "COIN_ADMIN_LISTEN": service + ":8081"}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		all[name] = value
	}
	s, err := settings.Parse(service, all)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &bench{t: t, service: service, network: &memnet.Network{}, cancel: cancel, stop: make(chan os.Signal, 1), done: make(chan error, 1),
		begin: time.Now()}
	run := map[string]func(context.Context, settings.Settings, serve.Process) error{"rng": rng.Run, "hasher": hasher.Run}[service]
	go func() {
		b.done <- run(ctx, s, serve.Process{Host: "host", Bind: b.network.Bind, Dial: b.network.Dial, Stop: b.stop})
	}()
	t.Cleanup(func() {
		cancel()
		time.Sleep(time.Minute) // whatever still sleeps must end inside the bubble
	})
	synctest.Wait()
	return b
}

// ended waits for Run and returns when that was, since the start.
func (b *bench) ended() time.Duration {
	if err := <-b.done; err != nil {
		b.t.Errorf("Run: %v", err)
	}
	return time.Since(b.begin)
}

// result is what became of a request.
type result struct {
	status int
	body   string
	header http.Header
	err    error
	at     time.Duration // of its end, since the start
}

func (b *bench) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: b.network.Dial, DisableKeepAlives: true}}
}

func (b *bench) do(client *http.Client, method, path, body string) result {
	r, err := http.NewRequest(method, "http://"+b.service+":80"+path, strings.NewReader(body))
	if err != nil {
		b.t.Error(err)
		return result{err: err}
	}
	answer, err := client.Do(r)
	if err != nil {
		return result{err: err, at: time.Since(b.begin)}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return result{answer.StatusCode, string(text), answer.Header, err, time.Since(b.begin)}
}

// crowd makes n requests at once and returns their results in the order in which they ended.
func (b *bench) crowd(n int, method, path, body string) []result {
	results := make([]result, n)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = b.do(b.client(), method, path, body) })
	}
	all.Wait()
	slices.SortFunc(results, func(x, y result) int { return int(x.at - y.at) })
	return results
}

// metric returns one series of /metrics.
func (b *bench) metric(series string) float64 {
	b.t.Helper()
	client := b.client()
	r, err := client.Get("http://" + b.service + ":8081/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			return x
		}
	}
	b.t.Fatalf("no series %s", series)
	return 0
}

func (b *bench) health() int {
	r, err := b.client().Get("http://" + b.service + ":8081/healthz")
	if err != nil {
		return 0
	}
	r.Body.Close()
	return r.StatusCode
}

func TestSerialServesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "rng")
		for i, r := range b.crowd(50, "GET", "/10", "") {
			if want := time.Duration(i+1) * 100 * ms; r.err != nil || r.status != 200 || len(r.body) != 10 || r.at != want {
				t.Errorf("request %d: %d, %d bytes, %v at %s; want it at %s", i, r.status, len(r.body), r.err, r.at, want)
			}
		}
		if got := b.metric(history.Busy); got != 5 {
			t.Errorf("busy for %g s, want 5", got)
		}
		// The waits are 0, 100, 200 ... 4900 ms.
		if got, count := b.metric(history.QueueSum), b.metric(history.QueueCount); count != 50 || got < 122.49 || got > 122.51 {
			t.Errorf("%g requests waited %g s, want 50 and 122.5", count, got)
		}
		if got := b.metric(history.Requests + `{code="200",method="GET"}`); got != 50 {
			t.Errorf("%g requests counted, want 50", got)
		}
	})
}

// The page of a serial server waits behind its work, but costs nothing itself.
func TestSerialQueuesThePageToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "rng")
		go b.crowd(3, "GET", "/32", "")
		synctest.Wait()
		if got := b.metric(history.QueueLength); got != 2 {
			t.Errorf("queue of %g, want 2", got)
		}
		if got := b.metric(history.InFlight); got != 1 {
			t.Errorf("%g in service, want 1", got)
		}
		if r := b.do(b.client(), "GET", "/", ""); r.at != 300*ms || r.body != "RNG running on host\n" {
			t.Errorf("GET / behind three requests: %q at %s, want 300ms", r.body, r.at)
		}
		if status := b.health(); status != 200 || time.Since(b.begin) != 300*ms {
			t.Errorf("/healthz: %d at %s", status, time.Since(b.begin))
		}
	})
}

// A client that gave up still costs the server its slot and its time. (A serial server's is in the socket tests.)
func TestAbandonedRequestsTakeTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "hasher", "COIN_CONCURRENCY=1")
		impatient := b.client()
		impatient.Timeout = 150 * ms
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { b.do(impatient, "POST", "/", "x") })
		}
		time.Sleep(200 * ms)
		if r := b.do(b.client(), "POST", "/", "x"); r.at != 500*ms {
			t.Errorf("answered at %s, want 500ms: after four, of which three were abandoned", r.at)
		}
		all.Wait()
	})
}

// A reactor of one thread takes all 50 requests in before it begins the first: the waves come later, by 50 x 0.7 ms, as in the
// published table (the fastest answer took 140 ms, the last one 329 ms).
func TestIntakeDelaysTheFirstWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "hasher", "COIN_INTAKE=700us")
		waves := map[time.Duration]int{}
		for _, r := range b.crowd(50, "POST", "/", "hello") {
			waves[r.at]++
		}
		if fmt.Sprint(waves) != "map[135ms:20 235ms:20 335ms:10]" {
			t.Errorf("waves: %v", waves)
		}
	})
}

// hasher answers 50 requests in waves of 20, 20 and 10.
func TestPoolServesInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "hasher")
		waves := map[time.Duration]int{}
		for _, r := range b.crowd(50, "POST", "/", "hello") {
			if r.err != nil || r.status != 200 || r.body != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
				t.Errorf("%d %q %v", r.status, r.body, r.err)
			}
			waves[r.at]++
		}
		if fmt.Sprint(waves) != "map[100ms:20 200ms:20 300ms:10]" {
			t.Errorf("waves: %v", waves)
		}
		if got := b.metric(history.Busy); got != 5 {
			t.Errorf("busy for %g slot seconds, want 5", got)
		}
		if got := b.metric(history.QueueSum); got < 3.99 || got > 4.01 {
			t.Errorf("waited %g s, want 20 x 0.1 + 10 x 0.2", got)
		}
	})
}

// The pool is first in, first out, and GET / takes a slot like the rest.
func TestPoolIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "hasher", "COIN_CONCURRENCY=1")
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * ms)
				b.do(b.client(), "POST", "/", "x")
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
		}
		time.Sleep(50 * ms)
		if got := b.metric(history.QueueLength); got != 9 {
			t.Errorf("queue of %g, want 9", got)
		}
		if r := b.do(b.client(), "GET", "/", ""); r.at != time.Second {
			t.Errorf("GET / at %s, want 1s", r.at)
		}
		all.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("served in the order %v", order)
		}
	})
}

// Every request takes the occupancy, GET / and errors included; errors are spared the delay.
func TestOccupancyAndErrors(t *testing.T) {
	for _, test := range []struct {
		path, rate string
		status     int
		want       time.Duration
	}{
		{"/32", "0", 200, 107 * ms},
		{"/", "0", 200, 7 * ms},
		{"/none", "0", 404, 7 * ms},
		{"/32", "1", 503, 7 * ms},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, "rng", "COIN_OCCUPANCY=7ms", "COIN_ERROR_STATUS=503", "COIN_ERROR_RATE="+test.rate)
			if r := b.do(b.client(), "GET", test.path, ""); r.status != test.status || r.at != test.want {
				t.Errorf("%s with error rate %s: %d after %s, want %d after %s", test.path, test.rate, r.status, r.at, test.status, test.want)
			}
		})
	}
}

// The busy time of a request in service counts before it ends.
func TestBusyRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "rng")
		go b.do(b.client(), "GET", "/32", "")
		time.Sleep(40 * ms)
		if got := b.metric(history.Busy); got != 0.04 {
			t.Errorf("busy for %g s in the middle of a request, want 0.04", got)
		}
		time.Sleep(time.Second)
		if got := b.metric(history.Busy); got != 0.1 {
			t.Errorf("busy for %g s after it, want 0.1", got)
		}
	})
}

// A client that connects and says nothing blocks a serial server until the header timeout, and a pool not at all.
func TestSilentClient(t *testing.T) {
	for service, want := range map[string]time.Duration{"rng": 10 * time.Second, "hasher": 0} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, service)
			c, err := b.network.Dial(t.Context(), "tcp", service+":80")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			synctest.Wait()
			if r := b.do(b.client(), "GET", "/", ""); r.status != 200 || r.at != want {
				t.Errorf("%s answers %d (%v) after %s, want %s", service, r.status, r.err, r.at, want)
			}
		})
	}
}

func TestBoot(t *testing.T) {
	for _, service := range []string{"rng", "hasher"} {
		for _, mode := range []string{"refuse", "503", "hang"} {
			t.Run(service+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := start(t, service, "COIN_BOOT_DELAY=5s", "COIN_BOOT_MODE="+mode)
					time.Sleep(time.Second)
					if status := b.health(); status != 503 {
						t.Errorf("/healthz during the boot: %d", status)
					}
					r := b.do(b.client(), "GET", "/", "")
					switch mode {
					case "refuse":
						if r.err == nil || !strings.Contains(r.err.Error(), "connection refused") || r.at != time.Second {
							t.Errorf("%d, %v after %s", r.status, r.err, r.at)
						}
					case "503":
						if r.status != 503 || r.at != time.Second || r.header.Get("X-Coinbench-Replica") != "host" {
							t.Errorf("%d, %v after %s", r.status, r.err, r.at)
						}
					case "hang":
						if r.status != 200 || r.at != 5*time.Second {
							t.Errorf("%d, %v after %s", r.status, r.err, r.at)
						}
					}
					time.Sleep(time.Until(b.begin.Add(5*time.Second + ms)))
					if status := b.health(); status != 200 {
						t.Errorf("/healthz after the boot: %d", status)
					}
					if r := b.do(b.client(), "GET", "/", ""); r.status != 200 {
						t.Errorf("after the boot: %d, %v", r.status, r.err)
					}
				})
			})
		}
	}
}

// Draining, a service answers what has come and refuses what comes.
func TestDrain(t *testing.T) {
	for service, want := range map[string]time.Duration{"rng": 500 * ms, "hasher": 300 * ms} {
		t.Run(service, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				method, path, env := "GET", "/32", []string{}
				if service == "hasher" {
					method, path, env = "POST", "/", []string{"COIN_CONCURRENCY=2"}
				}
				b := start(t, service, env...)
				var results []result
				go func() { results = b.crowd(5, method, path, "x") }()
				time.Sleep(50 * ms)
				b.stop <- os.Interrupt
				synctest.Wait()
				if status := b.health(); status != 503 {
					t.Errorf("/healthz of a draining service: %d", status)
				}
				at := b.ended()
				synctest.Wait()
				for _, r := range results {
					if r.err != nil || r.status != 200 {
						t.Errorf("a request that was there: %d, %v at %s", r.status, r.err, r.at)
					}
				}
				if len(results) != 5 || results[4].at != want {
					t.Errorf("%d answers, want 5, the last at %s", len(results), want)
				}
				if at < want || at > want+time.Second {
					t.Errorf("ended at %s, want just after %s", at, want)
				}
				if r := b.do(b.client(), "GET", "/", ""); r.err == nil {
					t.Error("a stopped service answers")
				}
			})
		})
	}
}

// Without work, a drain is over at once, also during the boot.
func TestDrainOfAnIdleService(t *testing.T) {
	for _, service := range []string{"rng", "hasher"} {
		for _, boot := range []string{"0s", "1m"} {
			for _, mode := range []string{"refuse", "503", "hang"} {
				synctest.Test(t, func(t *testing.T) {
					b := start(t, service, "COIN_BOOT_DELAY="+boot, "COIN_BOOT_MODE="+mode)
					b.stop <- os.Interrupt
					if at := b.ended(); at > 100*ms {
						t.Errorf("%s, boot %s %s: drained for %s", service, boot, mode, at)
					}
				})
			}
		}
	}
}

func TestExitDropsEverything(t *testing.T) {
	for _, service := range []string{"rng", "hasher"} {
		synctest.Test(t, func(t *testing.T) {
			method, path := "GET", "/32"
			if service == "hasher" {
				method, path = "POST", "/"
			}
			b := start(t, service, "COIN_ON_SIGTERM=exit")
			var results []result
			go func() { results = b.crowd(3, method, path, "x") }()
			time.Sleep(50 * ms)
			b.stop <- os.Interrupt
			if at := b.ended(); at != 50*ms {
				t.Errorf("%s ended at %s, want 50ms", service, at)
			}
			synctest.Wait()
			for _, r := range results {
				if r.err == nil {
					t.Errorf("%s: an answer %d at %s from a service that has exited", service, r.status, r.at)
				}
			}
		})
	}
}

func TestIgnoreCarriesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "rng", "COIN_ON_SIGTERM=ignore")
		for range 3 {
			b.stop <- os.Interrupt
			synctest.Wait()
		}
		if r := b.do(b.client(), "GET", "/32", ""); r.status != 200 || b.health() != 200 {
			t.Errorf("%d, %v", r.status, r.err)
		}
		b.cancel()
		b.ended()
	})
}

// Beyond its limit of connections a pool leaves clients to the backlog, and forgets none.
func TestPoolBoundsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "hasher", "COIN_QUEUE_LIMIT=5")
		waves := map[time.Duration]int{}
		for _, r := range b.crowd(12, "POST", "/", "x") {
			if r.err != nil {
				t.Error(r.err)
			}
			waves[r.at]++
		}
		if fmt.Sprint(waves) != "map[100ms:5 200ms:5 300ms:2]" {
			t.Errorf("waves: %v", waves)
		}
	})
}
