package loadgen

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coinbench/history"
	"coinbench/internal/race"
)

// hotLoop returns a function that makes one request on a connection that is kept, on an event loop, and records it.
func hotLoop(t testing.TB) (request func()) {
	w := Workload{Targets: []Target{{URL: "http://" + echo(t) + "/32"}}, Clients: 1, Requests: 1 << 40, MaxSamples: -1,
		Expect: Expect{Status: []int{200}, Length: 32}, Timeouts: Timeouts{Header: time.Hour, Body: time.Hour}}
	e, err := newEngine(Player{}, w, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e.ctx = context.Background()
	if !e.loopable() {
		t.Fatal("loops cannot play plain HTTP")
	}
	l, err := newLoop(e, e.shards[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.cancel(); l.free() })
	c := &l.clients[0]
	l.start()
	request = func() {
		for seq := c.o.seq; c.o.seq == seq; {
			l.turn()
		}
		if c.used < 2 {
			t.Fatal("the connection was not kept")
		}
		l.shard.mu.Lock() // as the collector would, so that windows do not pile up
		l.shard.spare = append(l.shard.spare, l.shard.aside...)
		l.shard.aside = l.shard.aside[:0]
		l.shard.mu.Unlock()
	}
	request() // connects, meets the names, makes the histograms
	return request
}

func TestARequestOnALoopAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the race detector allocates")
	}
	if n := testing.AllocsPerRun(2000, hotLoop(t)); n != 0 {
		t.Errorf("%v allocations per request, want 0", n)
	}
}

func BenchmarkRequestOnALoop(b *testing.B) {
	request := hotLoop(b)
	b.ReportAllocs()
	for b.Loop() {
		request()
	}
}

func TestDeadlinesPassInOrder(t *testing.T) {
	var d deadlines
	cs := make([]client, 5)
	for i := range cs {
		d.add(&cs[i], time.Duration(i))
	}
	for _, i := range []int{0, 2, 4} { // first, within, last
		cs[i].forget()
		cs[i].forget() // waits for nothing: no harm
	}
	d.add(&cs[2], 9)
	var got []int32
	for i := range cs {
		cs[i].index = int32(i)
	}
	for c := d.passed(8); c != nil; c = d.passed(8) {
		got = append(got, c.index)
	}
	if len(got) != 2 || got[0] != 1 || got[1] != 3 || d.first != &cs[2] || d.last != &cs[2] {
		t.Errorf("passed %v, then first %p, last %p, want 1 and 3, then %p", got, d.first, d.last, &cs[2])
	}
	if d.passed(9) != &cs[2] || d.first != nil || d.last != nil {
		t.Errorf("not empty in the end: %+v", d)
	}
}

// A server that closes each connection together with its answer, without a word: the client is told in the same event, and
// never sends where no one reads.
func TestALoopDoesNotUseAConnectionThatWasClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				rc, _ := c.(*net.TCPConn).SyscallConn()
				_ = rc.Control(func(fd uintptr) { // answer and end in one segment
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1)
				})
				io.WriteString(c, hello)
			}()
		}
	}()
	for _, think := range []time.Duration{0, time.Millisecond} {
		var m memory
		end, err := Run(t.Context(), Workload{Targets: []Target{{URL: "http://" + l.Addr().String() + "/"}}, Clients: 3, Requests: 60,
			Think: think},
			time.Now(), &m)
		if err != nil {
			t.Fatal(err)
		}
		if end.OK != 60 {
			t.Errorf("think %v: %+v: %v", think, end, m.total().Failures)
		}
	}
}

// Clients think, and are late at most by what the machine makes them: never early, and never by a request of another client.
func TestClientsOfALoopThink(t *testing.T) {
	url := faulty(t)
	const think = 20 * time.Millisecond
	for _, how := range []struct{ coarse, greedy bool }{{}, {coarse: true}, {greedy: true}, {true, true}} {
		e, err := newEngine(Player{}, Workload{Targets: []Target{{URL: url + "/ok"}}, Clients: 4, Requests: 20, Think: think}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		e.ctx = t.Context()
		l, err := newLoop(e, e.shards[0], 4)
		if err != nil {
			t.Fatal(err)
		}
		l.coarse, l.greedy = how.coarse, how.greedy
		begin := e.now()
		l.run()
		l.free()
		if took := e.now() - begin; took < 4*think {
			t.Errorf("%+v: 5 requests a client took %v, want at least 4 times %v", how, took, think)
		}
		for _, s := range l.shard.chunk {
			if s.sent < s.due || s.class != ok || (s.seq >= 4 && s.due < think) {
				t.Errorf("%+v: %+v", how, s)
			}
		}
	}
}

// A greedy loop that waits does not keep Go from stopping the world, and what it takes it gives back.
func TestAGreedyLoopLetsOthersWork(t *testing.T) {
	greedy(t)
	url := faulty(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var policy uint32
	over := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		e, err := newEngine(Player{}, Workload{Targets: []Target{{URL: url + "/no-header"}}, Clients: 1, Requests: 1}, time.Now())
		if err != nil {
			over <- err
			return
		}
		e.ctx = ctx
		l, err := newLoop(e, e.shards[0], 1)
		if err != nil {
			over <- err
			return
		}
		unhook := context.AfterFunc(ctx, l.ring)
		l.run()
		unhook()
		l.free()
		attr, err := unix.SchedGetAttr(0, 0)
		if err == nil {
			policy = attr.Policy
		}
		over <- err
	}()
	for range 20 {
		runtime.GC()
	}
	cancel()
	if err := <-over; err != nil || policy != unix.SCHED_NORMAL {
		t.Errorf("the thread's policy is %d, want %d; %v", policy, unix.SCHED_NORMAL, err)
	}
}

// greedy makes this program one that does nothing but send, until the test is over.
func greedy(t *testing.T) {
	was := runtime.GOMAXPROCS(2 * runtime.NumCPU())
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}

// A load that is cancelled ends at once, whatever its clients wait for, and every request that was in flight is recorded.
func TestALoopIsCancelled(t *testing.T) {
	url := faulty(t)
	full := fullQueue(t)
	for name, c := range map[string]struct {
		url    string
		think  time.Duration
		greedy bool
	}{
		"waiting for an answer":      {url: url + "/no-header"},
		"waiting for a body":         {url: url + "/half-body"},
		"thinking":                   {url: url + "/ok", think: time.Hour},
		"waiting for a connection":   {url: full},
		"busy":                       {url: url + "/ok"},
		"failing again and again":    {url: "http://127.0.0.1:1/"},
		"failing, and then thinking": {url: "http://127.0.0.1:1/", think: time.Hour},
		"greedy":                     {url: url + "/ok", greedy: true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.greedy {
				greedy(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			w := Workload{Targets: []Target{{URL: c.url}}, Clients: 7, Requests: 1 << 40, Think: c.think, MaxSamples: 1 << 30}
			var m memory
			end, err := Run(ctx, w, time.Now(), &m)
			if err != nil {
				t.Fatal(err)
			}
			w.Requests = 0 // it does not come to all of them
			checkConservation(t, w, end, &m)
			if got := m.total().Failures[history.Cancelled]; got != end.InFlight || end.InFlight > 7 || (c.think > 0 && end.Due > 7) {
				t.Errorf("%+v, %v", end, m.total().Failures)
			}
		})
	}
}

// Whatever becomes of a load's connections, none is left open, nor is anything else.
func TestLoopsLeaveNothingOpen(t *testing.T) {
	url := faulty(t)
	var targets []Target
	for path, class := range faults {
		if class != history.HeaderTimeout && class != history.BodyTimeout { // the server holds on to these
			targets = append(targets, Target{URL: url + path})
		}
	}
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("not run: open files are counted in /proc: %v", err)
		}
		return len(list)
	}
	before := open()
	for _, reuse := range []Reuse{{}, {PerRequest: true}, {MaxRequests: 2}} {
		var m memory
		if _, err := Run(t.Context(), Workload{Targets: targets, Clients: 10, Requests: 200, Reuse: reuse}, time.Now(), &m); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); open() > before; runtime.Gosched() { // the server's ends close a little later
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, %d were before", open(), before)
		}
	}
}
