package des

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
	"coinbench/services/settings"
)

// one returns a simulation of one service without workers.
func one(t testing.TB, service string, replicas int, env map[string]string, change func(*Service)) (*Sim, *[]history.Event) {
	t.Helper()
	events := &[]history.Event{}
	s := New(Config{Seed: 1, Events: func(e history.Event) { *events = append(*events, e) }})
	v := Service{Settings: parse(t, service, env)}
	if change != nil {
		change(&v)
	}
	if err := s.AddService(v); err != nil {
		t.Fatal(err)
	}
	if err := s.Scale(service, replicas, Stop{}); err != nil {
		t.Fatal(err)
	}
	return s, events
}

func bench(t testing.TB, s *Sim, l Load) ([]history.Sample, history.LoadEndRecord) {
	t.Helper()
	r := &recorder{}
	l.Name, l.Recorder, l.MaxSamples = "bench", r, 1e6
	id, err := s.StartLoad(l)
	if err != nil {
		t.Fatal(err)
	}
	s.RunUntil(s.Now() + 1000*time.Second)
	end, over, err := s.LoadEnd(id)
	if err != nil || !over {
		t.Fatalf("load over: %v, %v", over, err)
	}
	var due int64
	for _, i := range r.intervals {
		due += i.Due
	}
	if end.Due != end.OK+end.Failed || due != end.Due || int64(len(r.samples)) != end.Due {
		t.Fatalf("%d due in intervals, %d samples, %+v", due, len(r.samples), end)
	}
	return r.samples, end
}

func kinds(events []history.Event, task string) string {
	out := ""
	for _, e := range events {
		if e.Task == task {
			out += fmt.Sprintf("%v %s\n", e.At, e.Payload.Kind())
		}
	}
	return out
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A full backlog drops SYNs; the client's kernel tries again after 1, 3 and 7 s. One in service, 128 in the queue, and the next is dropped.
func TestBacklogDropsSYN(t *testing.T) {
	s, _ := one(t, settings.RNG, 1, map[string]string{"COIN_DELAY": "90ms"}, nil)
	s.RunUntil(time.Second)
	samples, _ := bench(t, s, Load{Targets: []Target{{Service: settings.RNG}}, Clients: 200, Requests: 200, PerRequest: true})
	connects := map[time.Duration]int{}
	for _, x := range samples {
		connects[x.Connect]++
	}
	// After 1 s eleven were served, so eleven of 71 find room; after 3 s another 22, after 7 s all others.
	if connects[0] != 129 || connects[time.Second] != 11 || connects[3*time.Second] != 22 || connects[7*time.Second] != 38 {
		t.Errorf("connect times %v", connects)
	}
	_, end := bench(t, s, Load{Targets: []Target{{Service: settings.RNG}}, Clients: 200, Requests: 200, PerRequest: true,
		Connect: 500 * time.Millisecond})
	if end.Failed != 71 {
		t.Errorf("%d failed to connect within 0.5 s, want 71", end.Failed)
	}
}

func TestAbandonedRequestsAreServed(t *testing.T) {
	s, _ := one(t, settings.RNG, 1, nil, nil)
	s.RunUntil(time.Second)
	_, end := bench(t, s, Load{Targets: []Target{{Service: settings.RNG}}, Clients: 10, Requests: 10, PerRequest: true,
		Response: 250 * time.Millisecond})
	if end.OK != 2 || s.Totals(settings.RNG).Answered != 10 {
		t.Errorf("%d answers arrived in time and %d were given, want 2 and 10", end.OK, s.Totals(settings.RNG).Answered)
	}
}

func TestOpenLoadDropsAndCancels(t *testing.T) {
	s, _ := one(t, settings.RNG, 1, nil, nil)
	s.RunUntil(time.Second)
	every := func(n int64) (time.Duration, bool) { return time.Duration(n) * 10 * time.Millisecond, true }
	samples, end := bench(t, s, Load{Targets: []Target{{Service: settings.RNG}}, Due: every, Duration: 2 * time.Second, Connections: 5,
		Backlog: 20, PerRequest: true, Grace: 300 * time.Millisecond})
	classes := map[history.Class]int{}
	for _, x := range samples {
		classes[x.Class]++
		if x.Class == history.OK && x.Sent < x.Due {
			t.Fatalf("%+v was sent before it was due", x)
		}
	}
	// 200 are due; 23 are served in 2.3 s, 5 are in flight at the end, all others find the backlog full or wait in it.
	if end.Due != 200 || classes[history.OK] != 22 && classes[history.OK] != 23 || classes[history.Cancelled] != 5 || end.InFlight != 5 {
		t.Errorf("%v, %+v", classes, end)
	}
}

func TestBoot(t *testing.T) {
	for mode, want := range map[string]struct {
		class  history.Class
		status int
		at     time.Duration
	}{"refuse": {history.Refused, 0, refusalTime}, "503": {history.UnexpectedStatus, 503, 50 * time.Microsecond}, "hang": {history.OK, 200,
		1600 * time.Millisecond}} {
		s, _ := one(t, settings.Hasher, 1, map[string]string{"COIN_BOOT_DELAY": "2s", "COIN_BOOT_MODE": mode}, nil)
		s.RunUntil(500 * time.Millisecond)
		samples, _ := bench(t, s, Load{Targets: []Target{{Service: settings.Hasher}}, Clients: 1, Requests: 1})
		if x := samples[0]; x.Class != want.class || x.Status != want.status || x.Done-x.Sent != want.at {
			t.Errorf("%s: %+v", mode, x)
		}
	}
}

const refusalTime = time.Duration(refusal)

// With a health check a task joins at the first check that finds it ready; without, as soon as its process runs.
func TestJoining(t *testing.T) {
	slow := map[string]string{"COIN_BOOT_DELAY": "2500ms"}
	s, events := one(t, settings.Hasher, 1, slow, func(v *Service) { v.StartDelay, v.Health = time.Second, time.Second })
	s.RunUntil(10 * time.Second)
	expect(t, kinds(*events, "hasher.1#1"), "0s task.started\n4s task.healthy\n4s task.joined\n")
	s, events = one(t, settings.Hasher, 1, slow, func(v *Service) { v.StartDelay = time.Second })
	s.RunUntil(10 * time.Second)
	expect(t, kinds(*events, "hasher.1#1"), "0s task.started\n1s task.joined\n")
}

func TestStopping(t *testing.T) {
	for behaviour, want := range map[string]string{
		"drain":  "0s task.started\n0s task.joined\n1s task.left\n1s task.stopping\n1.05s task.gone\n",
		"exit":   "0s task.started\n0s task.joined\n1s task.left\n1s task.stopping\n1s task.gone\n",
		"ignore": "0s task.started\n0s task.joined\n1s task.left\n1s task.stopping\n11s task.gone\n",
	} {
		s, events := one(t, settings.Hasher, 1, map[string]string{"COIN_ON_SIGTERM": behaviour}, nil)
		s.RunUntil(950 * time.Millisecond)
		r := &recorder{}
		if _, err := s.StartLoad(Load{Targets: []Target{{Service: settings.Hasher}}, Clients: 1, Requests: 1, Recorder: r,
			MaxSamples: 1}); err != nil {
			t.Fatal(err)
		}
		s.RunUntil(time.Second)
		if err := s.StopTask(0, Stop{Grace: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		s.RunUntil(20 * time.Second)
		expect(t, kinds(*events, "hasher.1#1"), want)
		class := history.OK
		if behaviour == "exit" {
			class = history.ResetBeforeByte
		}
		if r.samples[0].Class != class {
			t.Errorf("%s: the request in service ended as %q", behaviour, r.samples[0].Class)
		}
	}
}

// A task that leaves the rotation only when it is gone, or never, is met by clients that are refused (trap 33).
func TestDeregistering(t *testing.T) {
	for how, refuses := range map[Deregister]bool{BeforeStop: false, AfterStop: false, NeverLeave: true} {
		s, _ := one(t, settings.Hasher, 2, map[string]string{"COIN_ON_SIGTERM": "exit"}, nil)
		s.RunUntil(time.Second)
		if err := s.StopTask(0, Stop{Deregister: how}); err != nil {
			t.Fatal(err)
		}
		_, end := bench(t, s, Load{Targets: []Target{{Service: settings.Hasher}}, Clients: 1, Requests: 10, PerRequest: true})
		if (end.Failed == 5) != refuses || !refuses && end.Failed > 0 {
			t.Errorf("%s: %d of 10 failed", how, end.Failed)
		}
		if _, err := s.StartTask(settings.Hasher, 1); err != nil {
			t.Fatal(err)
		}
		s.RunUntil(s.Now() + time.Second)
		if _, end := bench(t, s, Load{Targets: []Target{{Service: settings.Hasher}}, Clients: 1, Requests: 10,
			PerRequest: true}); end.Failed > 0 {
			t.Errorf("%s: %d of 10 failed after the successor joined", how, end.Failed)
		}
	}
}

func TestPausedServerTakesConnectionsAndAnswersLater(t *testing.T) {
	s, _ := one(t, settings.RNG, 1, nil, nil)
	s.RunUntil(time.Second)
	r := &recorder{}
	if _, err := s.StartLoad(Load{Targets: []Target{{Service: settings.RNG}}, Clients: 3, Requests: 3, PerRequest: true, Recorder: r,
		MaxSamples: 3}); err != nil {
		t.Fatal(err)
	}
	s.RunUntil(1050 * time.Millisecond)
	if err := s.PauseTask(0); err != nil {
		t.Fatal(err)
	}
	s.RunUntil(5 * time.Second)
	if len(r.samples) != 0 || len(s.Readings()) != 0 {
		t.Fatalf("a paused server answered: %v", r.samples)
	}
	if err := s.ResumeTask(0); err != nil {
		t.Fatal(err)
	}
	s.RunUntil(10 * time.Second)
	var done []time.Duration
	for _, x := range r.samples {
		done = append(done, x.Done)
	}
	if want := []time.Duration{5 * time.Second, 5100 * time.Millisecond, 5200 * time.Millisecond}; !slices.Equal(done, want) {
		t.Errorf("answers at %v, want %v", done, want)
	}
}

func TestWorkerStops(t *testing.T) {
	for behaviour, gone := range map[string]time.Duration{"drain": 1200 * time.Millisecond, "exit": time.Second, "ignore": 11 * time.Second} {
		s := app{workers: 1, rng: 1, worker: map[string]string{"COIN_ON_SIGTERM": behaviour}}.start(t)
		s.RunUntil(time.Second)
		id := len(s.tasks) - 1
		if err := s.StopTask(id, Stop{Grace: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		for s.Task(id).State != Gone && s.Now() < 20*time.Second {
			s.RunUntilChange(20 * time.Second)
		}
		if s.Now() != gone {
			t.Errorf("%s: gone at %v, want %v", behaviour, s.Now(), gone)
		}
		w := s.Totals(settings.Worker)
		if behaviour == "drain" && (w.Counted != w.Hashes || w.StoreHashes != w.Hashes) {
			t.Errorf("a drained worker left %d of %d hashes uncounted", w.Hashes-w.Counted, w.Hashes)
		}
	}
}

func TestRedis(t *testing.T) {
	a := app{workers: 10, rng: 5, spread: settle}
	s := a.start(t)
	if err := s.AddService(Service{Name: "redis", Stores: true}); err != nil {
		t.Fatal(err)
	}
	// Workers that find no Redis back off; then they count.
	s.RunUntil(5 * time.Second)
	if got := s.Totals("").Errors["redis"]; got != 10 {
		t.Errorf("%d workers met no redis, want 10", got)
	}
	if _, err := s.StartTask("redis", 1); err != nil {
		t.Fatal(err)
	}
	near(t, "hashes/s with redis back", rate(s, 20*time.Second, 50*time.Second), 33.3, .4)
	id := len(s.tasks) - 1
	if err := s.KillTask(id, Kill{Restart: true}); err != nil {
		t.Fatal(err)
	}
	s.RunUntil(55 * time.Second)
	if w := s.Totals(""); w.Errors["redis"] != 20 || w.StoreHashes != 0 || w.Lost == 0 {
		t.Errorf("after redis was replaced: %+v", w)
	}
	// A slow Redis is a part of the loop.
	if err := s.ChangeService(Service{Name: "redis", Stores: true, Delay: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	x := rate(s, 80*time.Second, 180*time.Second)
	if x > 31.5 || x < 28 {
		t.Errorf("%.2f hashes/s with a redis of 100 ms", x)
	}
}

// dump is everything that a simulation says.
func dump(t testing.TB, s *Sim) string {
	return fmt.Sprintf("%v %+v %+v", s.Now(), s.Totals(""), s.Readings())
}

// play does what the steps say and returns all that came out. Invariants are checked on the way.
func play(t *rapid.T, a app, tt testing.TB, steps []int) string {
	s := a.start(tt)
	events := ""
	s.config.Events = func(e history.Event) { events += fmt.Sprintf("%+v\n", e) }
	r := &recorder{}
	loads := 0
	for i, step := range steps {
		s.RunUntil(s.Now() + time.Duration(step%977)*3*time.Millisecond)
		tasks := len(s.tasks)
		id := step % tasks
		how := Stop{Grace: time.Second, Deregister: []Deregister{BeforeStop, AfterStop, NeverLeave}[step%3]}
		var err error
		switch step / 1000 {
		case 0:
			err = s.Scale([]string{settings.RNG, settings.Hasher, settings.Worker}[step%3], step%7, how)
		case 1:
			_ = s.KillTask(id, Kill{Restart: step%2 == 0, Down: time.Duration(step%50) * 10 * time.Millisecond, InRotation: step%5 < 2})
		case 2:
			_ = s.PauseTask(id)
		case 3:
			for id := range s.tasks {
				_ = s.ResumeTask(id)
			}
		case 4:
			err = s.StopTask(id, how)
		case 5:
			l := Load{Name: fmt.Sprint(i), Targets: []Target{{Service: settings.RNG, Root: step%2 == 0}, {Service: settings.Hasher}},
				Duration:   3 * time.Second,
				PerRequest: step%3 == 0, Recorder: r, MaxSamples: 100, Response: time.Duration(step%3) * 200 * time.Millisecond,
				Connect: time.Duration(step%2) * time.Second}
			if step%4 == 0 {
				l.Clients, l.Think = 1+step%30, time.Duration(step%5)*time.Millisecond
			} else {
				l.Due, l.Connections, l.Backlog = poisson(float64(1+step%200), uint64(step)), 1+step%40, step%60
			}
			_, err = s.StartLoad(l)
			loads++
		}
		if err != nil {
			t.Fatal(err)
		}
		invariants(t, s)
	}
	s.RunUntil(s.Now() + 150*time.Second)
	invariants(t, s)
	for i := range loads {
		end, over, err := s.LoadEnd(i)
		if err != nil || !over || end.Due != end.OK+end.Failed {
			t.Fatalf("load %d: over %v, %v, %+v", i, over, err, end)
		}
	}
	var due int64
	for _, i := range r.intervals {
		due += i.Due
	}
	return fmt.Sprint(dump(tt, s), events, r.intervals, r.samples, due)
}

func invariants(t *rapid.T, s *Sim) {
	t.Helper()
	for i := range s.servers {
		v := &s.servers[i]
		n, calls := int32(0), int32(0)
		for id := v.first; id >= 0; id = s.calls[id].next {
			n++
		}
		for id := range s.calls {
			if q := &s.calls[id]; q.state != free && q.state != failing && q.server == int32(i) {
				calls++
			}
		}
		if n != v.queued || v.busy < 0 || v.busy > v.slots || v.conns < calls || v.condition == dead && calls+v.conns+v.busy > 0 {
			t.Fatalf("server %d: %d queued of %d, %d busy, %d connections for %d calls, condition %d", i, n, v.queued, v.busy, v.conns, calls,
				v.condition)
		}
		if v.serial && v.conns != calls {
			t.Fatalf("serial server %d: %d connections, %d calls", i, v.conns, calls)
		}
		if busy := seconds(v.busyNow(s.now)); busy < 0 || busy > s.Now().Seconds()*float64(v.slots) {
			t.Fatalf("server %d was busy for %v s", i, busy)
		}
	}
	for i := range s.workers {
		w := &s.workers[i]
		if w.hashes != w.counted+w.lost+w.unflushed || w.posted < w.hashes || w.coins > w.posted {
			t.Fatalf("worker %d: %d hashes, %d counted, %d lost, %d unflushed, %d posted", i, w.hashes, w.counted, w.lost, w.unflushed, w.posted)
		}
	}
	if all := s.Totals(""); all.StoreHashes != all.Counted {
		t.Fatalf("redis has %d, the workers counted %d", all.StoreHashes, all.Counted)
	}
}

// Whatever is done to the app, nothing is lost from the books, and a second run gives the same bytes, with the lanes or with the plain
// heap.
func TestBooksBalanceAndRunsRepeat(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		a := app{workers: rapid.IntRange(0, 8).Draw(r, "workers"), rng: rapid.IntRange(0, 4).Draw(r, "rng"), seed: rapid.Uint64().Draw(r, "seed"),
			balance: rapid.SampledFrom([]Balance{RoundRobin, RoundRobinPerClient, Random, LeastConnections, Sticky}).Draw(r, "balance"),
			spread:  settle,
			env: map[string]string{"COIN_ON_SIGTERM": rapid.SampledFrom([]string{"drain", "exit", "ignore"}).Draw(r, "sigterm"),
				"rng/COIN_DELAY_DISTRIBUTION":  rapid.SampledFrom([]string{"constant", "exponential"}).Draw(r, "distribution"),
				"rng/COIN_ACCEPT":              rapid.SampledFrom([]string{"serial", "pool"}).Draw(r, "accept"),
				"rng/COIN_QUEUE_LIMIT":         rapid.SampledFrom([]string{"2", "128"}).Draw(r, "backlog"),
				"rng/COIN_ERROR_RATE":          rapid.SampledFrom([]string{"0", "0.2"}).Draw(r, "errors"),
				"rng/COIN_BOOT_DELAY":          rapid.SampledFrom([]string{"0s", "700ms"}).Draw(r, "boot"),
				"rng/COIN_BOOT_MODE":           rapid.SampledFrom([]string{"refuse", "503", "hang"}).Draw(r, "mode"),
				"worker/COIN_KEEP_ALIVE":       rapid.SampledFrom([]string{"true", "false"}).Draw(r, "keep"),
				"worker/COIN_BACKOFF":          rapid.SampledFrom([]string{"10s", "100ms", "0s"}).Draw(r, "backoff"),
				"worker/COIN_RESPONSE_TIMEOUT": rapid.SampledFrom([]string{"0s", "300ms"}).Draw(r, "timeout"),
				"worker/COIN_CONNECT_TIMEOUT":  rapid.SampledFrom([]string{"0s", "500ms"}).Draw(r, "connect")}}
		steps := rapid.SliceOfN(rapid.IntRange(0, 5999), 0, 12).Draw(r, "steps")
		first, again := play(r, a, t, steps), ""
		a.noLanes = true
		again = play(r, a, t, steps)
		if first != again {
			i := 0
			for i < min(len(first), len(again)) && first[i] == again[i] {
				i++
			}
			r.Fatalf("two runs differ from byte %d: ...%s... and ...%s...", i, first[max(0, i-200):min(len(first), i+100)],
				again[max(0, i-200):min(len(again), i+100)])
		}
	})
}

func TestSeedsDiffer(t *testing.T) {
	run := func(seed uint64) string {
		s := app{workers: 5, rng: 2, seed: seed, spread: settle, balance: Random}.start(t)
		s.RunUntil(60 * time.Second)
		return dump(t, s)
	}
	first, again, other := run(1), run(1), run(2)
	if first != again || first == other {
		t.Error("one seed must give one run, and another seed another")
	}
}

// The series have the names and meanings of package history.
func TestReadings(t *testing.T) {
	s := app{workers: 2, rng: 1, env: workshop()}.start(t)
	s.config.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.RunUntil(100 * time.Second)
	byTask := map[string]map[string]float64{}
	for _, r := range s.Readings() {
		if r.At != 100*time.Second {
			t.Errorf("%s was read at %v", r.Task, r.At)
		}
		byTask[r.Task] = maps.Collect(r.Values.All())
	}
	rng, hasher, w1, w2 := byTask["rng.1#1"], byTask["hasher.1#1"], byTask["worker.1#1"], byTask["worker.2#1"]
	if rng == nil || hasher == nil || w1 == nil || w2 == nil {
		t.Fatalf("tasks %v", reflect.ValueOf(byTask).MapKeys())
	}
	near(t, "rng busy s", rng[history.Busy], 100*2/.318*.107, .2)
	near(t, "rng requests", rng[history.Requests+`{code="200",method="GET"}`], 100*2/.318, 3)
	near(t, "hasher requests", hasher[history.Requests+`{code="200",method="POST"}`], w1[history.Posted]+w2[history.Posted], 0)
	near(t, "stages of a loop", w1[history.StageSum+`{stage="think"}`]+w1[history.StageSum+`{stage="overhead"}`]+w1[history.StageSum+`{stage="rng"}`]+
		w1[history.StageSum+`{stage="hasher"}`]+w1[history.StageSum+`{stage="redis"}`], 100, .32)
	near(t, "coins of hashes", (w1[history.Coins]+w2[history.Coins])/(w1[history.Hashes]+w2[history.Hashes]), 1./16, .03)
	last := time.UnixMicro(int64(w1[history.LastHash] * 1e6))
	if d := s.config.Start.Add(100 * time.Second).Sub(last); d < 0 || d > 320*time.Millisecond {
		t.Errorf("the last hash was %v ago", d)
	}
}

func TestNothingIsAllocatedForAnEvent(t *testing.T) {
	s := app{workers: 100, rng: 20, hasher: 2, spread: settle, rngEnv: map[string]string{"COIN_DELAY_DISTRIBUTION": "exponential"}}.start(t)
	s.RunUntil(20 * time.Second)
	at := s.Now()
	if n := testing.AllocsPerRun(20, func() { at += time.Second; s.RunUntil(at) }); n > 0 {
		t.Errorf("%g allocations a second of virtual time", n)
	}
}

func TestSenselessUseIsAnError(t *testing.T) {
	s := app{workers: 1, rng: 1}.start(t)
	target := []Target{{Service: settings.RNG}}
	for name, f := range map[string]func() error{
		"service twice":     func() error { return s.AddService(Service{Settings: parse(t, settings.RNG)}) },
		"service of nobody": func() error { return s.AddService(Service{Name: "x"}) },
		"unknown balance":   func() error { return s.ChangeService(Service{Settings: parse(t, settings.RNG), Balance: "fair"}) },
		"scale nobody":      func() error { return s.Scale("nobody", 1, Stop{}) },
		"fewer than none":   func() error { return s.Scale(settings.RNG, -1, Stop{}) },
		"slot 0":            func() error { _, err := s.StartTask(settings.RNG, 0); return err },
		"kill nobody":       func() error { return s.KillTask(99, Kill{}) },
		"stop nobody":       func() error { return s.StopTask(99, Stop{}) },
		"pause nobody":      func() error { return s.PauseTask(-1) },
		"load without end":  func() error { _, err := s.StartLoad(Load{Targets: target, Clients: 1}); return err },
		"load of both": func() error {
			_, err := s.StartLoad(Load{Targets: target, Clients: 1, Due: poisson(1, 1), Requests: 1})
			return err
		},
		"load of workers": func() error {
			_, err := s.StartLoad(Load{Targets: []Target{{Service: settings.Worker}}, Clients: 1, Requests: 1})
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
