package memory

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
	"coinbench/services/settings"
)

// task is one replica's life. What is in it belongs to the cluster's mutex.
type task struct {
	s       *service
	name    string
	slot    int
	spec    cluster.Service
	set     settings.Settings
	state   cluster.TaskState
	held    bool // out of rotation until the switch
	ready   bool
	in      bool           // in rotation
	joined  bool           // is, or was, in rotation
	failure string         // how it ended unasked
	fault   *cluster.Fault // that killed it
	gone    chan struct{}
	frozen  time.Time     // until then
	delay   time.Duration // of what is asked of it
	counted float64       // a worker's loops, or requests
}

// after does something later, with the cluster's mutex held; 0: never.
func (t *task) after(d time.Duration, do func()) *time.Timer {
	if d <= 0 {
		return nil
	}
	return time.AfterFunc(d, func() {
		t.s.c.mu.Lock()
		defer t.s.c.mu.Unlock()
		do()
		t.s.Ring(nil)
	})
}

func (t *task) emit(p event.Payload) {
	t.s.c.emit(t.s.Wanted.Name, t.name, p)
	t.s.Ring(nil)
}

// start begins a task's life.
func (t *task) start() {
	t.emit(event.TaskStarted{Version: t.spec.Effective()["COIN_VERSION"], Image: t.spec.Image, Address: t.address()})
	boot := t.set.BootDelay
	if h := t.spec.Health; h != nil { // checked one interval after the start, and after each check
		boot = (boot/h.Interval + 1) * h.Interval
	}
	if why, failAt := t.spec.NeverHealthy(); why != "" {
		t.after(failAt, func() {
			if t.state == cluster.Starting {
				t.emit(event.TaskUnhealthy{Error: why})
				t.end(why)
			}
		})
	} else if t.after(boot, t.join) == nil {
		t.join()
	}
}

// join is what a task does that is healthy.
func (t *task) join() {
	if t.state != cluster.Starting {
		return
	}
	if t.spec.Health != nil {
		t.emit(event.TaskHealthy{})
	}
	if t.ready = true; !t.held {
		t.enter()
	}
}

func (t *task) enter() {
	t.state, t.in, t.joined, t.held = cluster.Running, true, true, false
	t.emit(event.TaskJoined{})
	if t.set.Service == settings.Worker {
		t.work()
	}
}

func (t *task) leave() {
	if t.in {
		t.in = false
		t.emit(event.TaskLeft{})
	}
}

// end is a task's; failure says why it ended unasked, after which it has a successor.
func (t *task) end(failure string) {
	if t.over() {
		return
	}
	if t.fault == nil || !t.fault.InRotation {
		t.leave()
	}
	close(t.gone)
	t.state = cluster.Complete
	if failure != "" {
		t.state, t.failure = cluster.Failed, t.name+": "+failure
		t.emit(event.TaskGone{Exit: "signal: killed", Error: failure})
	} else {
		t.emit(event.TaskGone{Exit: "exit status 0"})
	}
	switch f := t.fault; {
	case f == nil:
		t.s.Ended(t.slot, t, t.failure, false, -1)
	case f.InRotation:
		t.after(max(f.Down, 1), func() {
			t.leave()
			t.s.Ended(t.slot, t, t.failure, false, 0)
		})
	default:
		t.s.Ended(t.slot, t, t.failure, false, f.Down)
	}
}

func (t *task) over() bool { return t.state == cluster.Complete || t.state == cluster.Failed }

// work is a loop of a worker.
func (t *task) work() {
	loop := t.set.Think
	for _, name := range []string{settings.RNG, settings.Hasher} {
		if s, err := t.s.c.app.Find(name); err == nil {
			if station := s.pick(t.name); station != nil {
				station.counted++
				loop += station.set.Delay
			}
		}
	}
	t.after(max(loop, time.Millisecond), func() {
		if t.state == cluster.Running {
			t.counted++
			t.work()
		}
	})
}

// series is what counted is called.
func (t *task) series() string {
	return cmp.Or(map[string]string{settings.Worker: history.Hashes, "": history.RedisHashes}[t.set.Service], history.Requests)
}

// domain marks addresses that Dial alone knows.
const domain = ".memory.invalid:80"

func (t *task) address() string { return t.name + domain }

// Address says which service is meant, to Dial.
func (c *Cluster) Address(_ context.Context, service string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.app.Find(service); err != nil {
		return "", fmt.Errorf("address of %s: %w", service, err)
	}
	return service + domain, nil
}

// Dial connects to a replica of a service, for one request.
func (c *Cluster) Dial(_ context.Context, _, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.app.Find(strings.TrimSuffix(address, domain))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	t := s.pick("")
	if t == nil || t.over() {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	client, server := net.Pipe()
	go t.serve(server)
	return client, nil
}

// pick chooses the replica for a client's connection; nil: there is none.
func (s *service) pick(client string) *task {
	in := slices.DeleteFunc(slices.Clone(s.Tasks), func(t *task) bool { return !t.in })
	if len(in) == 0 {
		return nil
	}
	slices.SortStableFunc(in, func(a, b *task) int { return a.slot - b.slot })
	switch s.Wanted.Balance {
	case cluster.Random:
		return in[rand.IntN(len(in))]
	case cluster.RoundRobin:
		client = ""
	}
	s.turns[client]++
	return in[s.turns[client]%len(in)]
}

// serve answers one request that has no body.
func (t *task) serve(conn net.Conn) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	t.s.c.mu.Lock()
	t.counted++
	wait := max(0, time.Until(t.frozen)) + t.delay
	t.s.c.mu.Unlock()
	select {
	case <-time.After(wait):
		replica, _, _ := strings.Cut(t.name, "#")
		answer := http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, Close: true,
			Header: http.Header{"X-Coinbench-Replica": {replica}, "X-Coinbench-Version": {t.set.Version}}}
		_ = answer.Write(conn)
	case <-t.gone:
	}
}
