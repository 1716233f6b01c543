package services_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/history"
	"coinbench/services/hasher"
	"coinbench/services/internal/memnet"
	"coinbench/services/rng"
	"coinbench/services/serve"
	"coinbench/services/settings"
	"coinbench/services/worker"
)

// mine is the app on a network in memory, in the virtual time of a synctest bubble.
type mine struct {
	t       *testing.T
	network memnet.Network
	redis   *fakeRedis
	workers int
}

func newMine(t *testing.T) *mine {
	m := &mine{t: t, redis: &fakeRedis{wallet: map[string]string{}}}
	m.redis.listen(m)
	t.Cleanup(func() { time.Sleep(time.Minute) }) // whatever still sleeps must end inside the bubble
	t.Cleanup(m.redis.drop)
	return m
}

// task is one running service.
type task struct {
	admin string
	kill  func()
	stop  chan os.Signal
	done  chan error
}

func (m *mine) start(service string, env map[string]string) *task {
	m.t.Helper()
	admin := service + ":8081"
	if service == "worker" {
		m.workers++
		admin = fmt.Sprintf("worker-%d:8081", m.workers)
	}
	all := map[string]string{"COIN_ADMIN_LISTEN": admin}
	if service != "worker" {
		all["COIN_LISTEN"] = service + ":80"
	}
	maps.Copy(all, env)
	s, err := settings.Parse(service, all)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	task := &task{admin: admin, stop: make(chan os.Signal, 1), done: make(chan error, 1)}
	run := map[string]func(context.Context, settings.Settings, serve.Process) error{
		"rng": rng.Run, "hasher": hasher.Run, "worker": worker.Run,
	}[service]
	go func() {
		task.done <- run(ctx, s, serve.Process{Bind: m.network.Bind, Dial: m.network.Dial, Stop: task.stop})
	}()
	task.kill = func() { cancel(); synctest.Wait() }
	m.t.Cleanup(task.kill)
	synctest.Wait()
	return task
}

// metrics returns the worker's series of one scrape.
func (m *mine) metrics(task *task) map[string]float64 {
	m.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: m.network.Dial, DisableKeepAlives: true}}
	r, err := client.Get("http://" + task.admin + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if x, err := strconv.ParseFloat(text, 64); err == nil && strings.HasPrefix(name, "coinbench_") {
			values[name] = x
		}
	}
	return values
}

func (m *mine) sum(tasks []*task, series string) float64 {
	m.t.Helper()
	total := 0.0
	for _, task := range tasks {
		total += m.metrics(task)[series]
	}
	return total
}

func (m *mine) startWorkers(n int, env map[string]string) []*task {
	tasks := make([]*task, n)
	for i := range tasks {
		tasks[i] = m.start("worker", env)
	}
	return tasks
}

// rate returns the hashes a second that workers do in half a minute, after five seconds.
func (m *mine) rate(workers []*task) float64 {
	time.Sleep(5 * time.Second)
	before := m.sum(workers, history.Hashes)
	time.Sleep(30 * time.Second)
	return (m.sum(workers, history.Hashes) - before) / 30
}

// The bottleneck of the workshop: three workers saturate one rng, ten and twenty do not get more out of it.
func TestOneRNGGivesTenHashesASecond(t *testing.T) {
	for _, test := range []struct {
		workers int
		rng     map[string]string
		think   string
		want    float64
	}{
		{1, nil, "100ms", 10. / 3},
		{2, nil, "100ms", 20. / 3},
		{3, nil, "100ms", 10},
		{10, nil, "100ms", 10},
		{20, nil, "100ms", 10},
		{10, map[string]string{"COIN_OCCUPANCY": "7ms"}, "100ms", 1 / .107},
		{10, map[string]string{"COIN_ACCEPT": "pool", "COIN_CONCURRENCY": "0"}, "100ms", 100. / 3},
		{10, map[string]string{"COIN_ACCEPT": "pool", "COIN_CONCURRENCY": "5"}, "100ms", 100. / 3},
		{10, map[string]string{"COIN_ACCEPT": "pool", "COIN_CONCURRENCY": "5"}, "10ms", 10 / .21},
		// An rng that fails at once makes the hash rate rise: the status is not looked at.
		{10, map[string]string{"COIN_ERROR_RATE": "1"}, "100ms", 50},
	} {
		t.Run(fmt.Sprintf("%d workers/%v/%s", test.workers, test.rng, test.think), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMine(t)
				m.start("rng", test.rng)
				m.start("hasher", nil)
				workers := m.startWorkers(test.workers, map[string]string{"COIN_THINK": test.think})
				if got := m.rate(workers); math.Abs(got-test.want) > test.want*.01 {
					t.Errorf("%.3f hashes a second, want %.3f", got, test.want)
				}
			})
		})
	}
}

// The client's overhead is there once for each call.
func TestCallOverhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMine(t)
		m.start("rng", nil)
		m.start("hasher", nil)
		workers := m.startWorkers(1, map[string]string{"COIN_CALL_OVERHEAD": "3ms"})
		if got, want := m.rate(workers), 1/.306; math.Abs(got-want) > want*.01 {
			t.Errorf("%.3f hashes a second, want %.3f", got, want)
		}
		v := m.metrics(workers[0])
		n := v[history.Hashes]
		for stage, want := range map[string]float64{"think": .1 * n, "rng": .1 * n, "hasher": .1 * n, "overhead": .006 * n, "redis": 0} {
			if got := v[history.StageSum+`{stage="`+stage+`"}`]; math.Abs(got-want) > .2 {
				t.Errorf("%s took %.3f s of %g loops, want about %.3f", stage, got, n, want)
			}
		}
		if last := v[history.LastHash]; math.Abs(last-float64(time.Now().UnixMilli())/1000) > .31 {
			t.Errorf("last hash at %f, now it is %f", last, float64(time.Now().UnixMilli())/1000)
		}
	})
}

// One worker does 3.33 hashes a second, and a look at the counter each second sees 4, 4, 4, 4, 4, 0: it is flushed at
// the top of a loop, when a second has passed.
func TestFlushPattern(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMine(t)
		m.start("rng", nil)
		m.start("hasher", nil)
		m.start("worker", nil)
		if got := m.redis.hashes(); got != "0" {
			t.Fatalf("the counter begins as %q, want 0: the first flush is of nothing", got)
		}
		time.Sleep(100 * time.Millisecond) // not at the instant of a flush
		var steps []string
		before := 0
		for range 13 {
			time.Sleep(time.Second)
			now, err := strconv.Atoi(m.redis.hashes())
			if err != nil {
				t.Fatal(err)
			}
			steps = append(steps, strconv.Itoa(now-before))
			before = now
		}
		if got := strings.Join(steps, ""); got != "0444440444440" {
			t.Errorf("the counter moved by %s", got)
		}
	})
}

// An exception costs the worker ten seconds and what it had not flushed; the books balance all the same.
func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		backoff string
		silence time.Duration
	}{{"10s", 10 * time.Second}, {"100ms", 100 * time.Millisecond}} {
		t.Run(test.backoff, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMine(t)
				rng := m.start("rng", nil)
				m.start("hasher", nil)
				workers := m.startWorkers(2, map[string]string{"COIN_BACKOFF": test.backoff})
				time.Sleep(5*time.Second + 650*time.Millisecond)
				rng.kill()
				<-rng.done
				time.Sleep(250 * time.Millisecond) // every worker has called it
				m.start("rng", nil)
				if got := m.sum(workers, history.BackingOff); test.silence > time.Second && got != 2 {
					t.Errorf("%g workers back off, want 2", got)
				}
				before := m.sum(workers, history.Hashes)
				time.Sleep(test.silence - 300*time.Millisecond)
				if got := m.sum(workers, history.Hashes) - before; test.silence > time.Second && got > 1 {
					t.Errorf("%g hashes while backing off", got)
				}
				time.Sleep(15 * time.Second)

				for _, w := range workers {
					v := m.metrics(w)
					lost, counted, posted, unflushed := v[history.Lost], v[history.Counted], v[history.Posted], v[history.Unflushed]
					if lost < 1 || lost > 4 {
						t.Errorf("%g hashes lost, want 1 to 4", lost)
					}
					if posted != counted+lost+unflushed {
						t.Errorf("posted %g, counted %g, lost %g, unflushed %g", posted, counted, lost, unflushed)
					}
					if v[history.Backoffs] < 1 || v[history.BackingOff] != 0 {
						t.Errorf("back-offs %g, backing off %g", v[history.Backoffs], v[history.BackingOff])
					}
				}
				if redis, _ := strconv.ParseFloat(m.redis.hashes(), 64); redis != m.sum(workers, history.Counted) {
					t.Errorf("Redis counts %g, the workers %g", redis, m.sum(workers, history.Counted))
				}
				if coins := m.sum(workers, history.Coins); float64(m.redis.coins()) != coins {
					t.Errorf("Redis keeps %d coins, the workers found %g", m.redis.coins(), coins)
				}
			})
		})
	}
}

// A Redis that drops its connections is an exception like any other, even if it would take a new one at once.
func TestRedisDropsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMine(t)
		m.start("rng", nil)
		m.start("hasher", nil)
		w := m.start("worker", nil)
		time.Sleep(5*time.Second + 50*time.Millisecond)
		m.redis.drop()
		time.Sleep(2 * time.Second)
		m.redis.listen(m)
		v := m.metrics(w)
		if v[history.WorkerErrors+`{class="redis"}`] != 1 || v[history.BackingOff] != 1 || v[history.Lost] < 1 {
			t.Errorf("redis errors %g, backing off %g, lost %g", v[history.WorkerErrors+`{class="redis"}`], v[history.BackingOff], v[history.Lost])
		}
		time.Sleep(12 * time.Second)
		after := m.metrics(w)
		if after[history.Hashes] <= v[history.Hashes] || after[history.Backoffs] != 1 {
			t.Errorf("no hashes after the back-off: %v", after)
		}
		if got := after[history.Counted] + after[history.Lost] + after[history.Unflushed]; got != after[history.Posted] {
			t.Errorf("posted %g, accounted for %g", after[history.Posted], got)
		}
	})
}

// A draining worker ends its loop and flushes: nothing is lost.
func TestWorkerDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMine(t)
		m.start("rng", nil)
		m.start("hasher", nil)
		w := m.start("worker", nil)
		time.Sleep(2*time.Second + 50*time.Millisecond) // 6 loops, 4 of them flushed
		w.stop <- os.Interrupt
		if err := <-w.done; err != nil {
			t.Error(err)
		}
		if got := m.redis.hashes(); got != "7" {
			t.Errorf("%s hashes counted, want the 7 that were done when the seventh loop ended", got)
		}
	})
}

// A worker that ignores SIGTERM mines on, and one that exits loses what it had.
func TestWorkerIgnoresOrExits(t *testing.T) {
	for on, want := range map[string]string{"ignore": "8", "exit": "4"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMine(t)
			m.start("rng", nil)
			m.start("hasher", nil)
			w := m.start("worker", map[string]string{"COIN_ON_SIGTERM": on})
			time.Sleep(2*time.Second + 50*time.Millisecond)
			w.stop <- os.Interrupt
			time.Sleep(time.Second)
			if got := m.redis.hashes(); got != want {
				t.Errorf("%s: %s hashes, want %s", on, got, want)
			}
		})
	}
}

// Without rng at its start a worker tries again every ten seconds.
func TestWorkerStartsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMine(t)
		m.start("hasher", nil)
		w := m.start("worker", nil)
		time.Sleep(time.Second)
		m.start("rng", nil)
		time.Sleep(9 * time.Second) // to 10.0 s; the first exception was at 0.1 s
		v := m.metrics(w)
		if v[history.Hashes] != 0 || v[history.WorkerErrors+`{class="refused"}`] != 1 {
			t.Errorf("hashes %g, refused %g at 10 s", v[history.Hashes], v[history.WorkerErrors+`{class="refused"}`])
		}
		time.Sleep(500 * time.Millisecond)
		if got := m.metrics(w)[history.Hashes]; got != 1 {
			t.Errorf("%g hashes at 10.5 s, want 1", got)
		}
	})
}

// fakeRedis speaks as much of Redis's protocol as the app does, on a network in memory.
type fakeRedis struct {
	mu       sync.Mutex
	counter  *int
	wallet   map[string]string
	listener net.Listener
	conns    []net.Conn
}

func (f *fakeRedis) hashes() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counter == nil {
		return ""
	}
	return strconv.Itoa(*f.counter)
}

func (f *fakeRedis) coins() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.wallet)
}

func (f *fakeRedis) listen(m *mine) {
	socket, err := m.network.Bind("redis:6379")
	if err != nil {
		m.t.Fatal(err)
	}
	l, err := socket.Listen(100)
	if err != nil {
		m.t.Fatal(err)
	}
	f.listener = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			go f.serve(c)
		}
	}()
}

// drop stops listening and breaks all connections.
func (f *fakeRedis) drop() {
	f.listener.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *fakeRedis) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, f.answer(command)); err != nil {
			return
		}
	}
}

func (f *fakeRedis) answer(command []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch strings.ToUpper(command[0]) {
	case "INCRBY":
		if f.counter == nil {
			f.counter = new(int)
		}
		n, _ := strconv.Atoi(command[2])
		*f.counter += n
		return fmt.Sprintf(":%d\r\n", *f.counter)
	case "HSET":
		_, had := f.wallet[command[2]]
		f.wallet[command[2]] = command[3]
		if had {
			return ":0\r\n"
		}
		return ":1\r\n"
	default:
		return "-ERR unknown command\r\n"
	}
}

// readCommand reads an array of bulk strings.
func readCommand(in *bufio.Reader) ([]string, error) {
	number := func(prefix string) (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, prefix)))
	}
	n, err := number("*")
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := number("$")
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		command[i] = string(b[:size])
	}
	return command, nil
}
