package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"coinbench/history"
	"coinbench/internal/visible"
)

// What zero means.
const (
	defaultSamples     = 100_000
	defaultFailures    = 10_000
	defaultConnections = 10_000
	defaultGrace       = 10 * time.Second
)

// Player plays workloads. Its zero value uses the machine's network.
type Player struct {
	// Dial opens connections instead of the machine's network, e.g. to a server in memory.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Sleep sleeps until an instant that is a few milliseconds away at most, instead of the machine's most precise sleep,
	// which virtual time does not see.
	Sleep func(until time.Time)
	// Guard refuses connections that lead where no load may go; nil: to loopback and the hosts that the workload names.
	Guard *Guard
	// Resolver looks up names instead of the system's.
	Resolver *net.Resolver
}

// Run plays the load until it ends or ctx is done, which ends it early and still records everything.
// Instants in the record are relative to origin. The error says why the load could not be played at all;
// requests that failed are no error.
func Run(ctx context.Context, w Workload, origin time.Time, rec Recorder) (history.LoadEndRecord, error) {
	return Player{}.Run(ctx, w, origin, rec)
}

// engine is one load being played.
type engine struct {
	w          Workload
	player     Player
	origin     time.Time
	begin      time.Duration
	targets    []prepared
	addrs      []address
	procs      int             // CPUs that it can use
	viaNetHTTP bool            // something here needs net/http
	secure     bool            // a target is https
	secrets    history.Secrets // which no text may repeat
	notes      []string        // what is not sent as the targets say
	client     *http.Client    // which is this
	oldTLS     atomic.Bool     // a server that was offered HTTP/2 speaks HTTP/1.1
	ctx        context.Context // of the load: what is in flight when it is done is cancelled
	shards     []*shard
	kept       kept
	replicas   *names
	versions   *names
	server     atomic.Pointer[string] // what the first answer that named its server's software said

	patience                time.Duration // see Workload.Patience
	maxSamples, maxFailures int64
	failuresKept            atomic.Int64
	edges                   *history.Edges
	lastOK                  atomic.Int64 // instant of the latest success
	seq                     atomic.Int64 // requests begun or due
	stopped                 atomic.Bool  // what is in flight is cancelled

	opened, retried, noPorts, noFiles atomic.Int64 // connections; see judgeInput

	nextDue time.Duration // open workloads: of the request after the last that was asked for; 0: there is none

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	parts history.PartNames
}

func (e *engine) now() time.Duration { return time.Since(e.origin) }

// Run is like the function Run.
func (p Player) Run(ctx context.Context, w Workload, origin time.Time, rec Recorder) (history.LoadEndRecord, error) {
	e, err := newEngine(p, w, origin)
	if err != nil {
		return history.LoadEndRecord{}, fmt.Errorf("load %q: %w", w.Name, err)
	}
	if err := enoughFiles(max(w.Clients, w.Connections)); err != nil {
		return history.LoadEndRecord{}, fmt.Errorf("load %q: %w", w.Name, err)
	}
	if err := e.resolvePinned(ctx); err != nil {
		return history.LoadEndRecord{}, fmt.Errorf("load %q: %w", w.Name, err)
	}
	if w.Engine == Vegeta {
		return e.vegeta(ctx, rec)
	}
	return e.run(ctx, rec)
}

func newEngine(p Player, w Workload, origin time.Time) (*engine, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	e := &engine{w: w, player: p, origin: origin, procs: procs(), replicas: newNames(), versions: newNames(), conns: map[net.Conn]struct{}{}}
	e.kept.ready = make(chan struct{}, 1)
	e.patience, e.maxSamples, e.maxFailures = w.patience(), w.MaxSamples, w.MaxFailures
	if e.maxSamples == 0 {
		e.maxSamples = defaultSamples
	}
	if e.maxFailures == 0 {
		e.maxFailures = defaultFailures
	}
	places := map[string]int{}
	for _, t := range w.Targets {
		if t.Method == "" {
			t.Method = "GET"
		}
		u, err := parseURL(t.URL)
		if err != nil {
			return nil, err
		}
		a := address{hostPort: hostPort(u)}
		a.direct, _ = netip.ParseAddrPort(a.hostPort)
		if u.Scheme == "https" {
			a.tls = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: w.Transport.Insecure, NextProtos: []string{"http/1.1"}}
			e.secure = true
		}
		key := u.Scheme + " " + a.hostPort
		place, known := places[key]
		if !known {
			place = len(e.addrs)
			places[key] = place
			e.addrs = append(e.addrs, a)
		}
		e.targets = append(e.targets, prepared{target: t, url: u, wire: wireRequest(t, u, w.Reuse.PerRequest), addr: place,
			head: t.Method == "HEAD", connect: t.Method == "CONNECT", close: saysClose(t.Header)})
		for _, note := range notSent(t, u, w.Reuse.PerRequest, w.Transport.HTTP2) {
			if !slices.Contains(e.notes, note) {
				e.notes = append(e.notes, note)
			}
		}
	}
	if e.player.Guard == nil {
		e.player.Guard = NewGuard(w.hosts(), nil)
	}
	e.viaNetHTTP = w.Transport.viaNetHTTP()
	e.secrets = w.Secrets()
	if e.viaNetHTTP {
		var err error
		if e.client, err = e.newClient(); err != nil {
			return nil, err
		}
	}
	for range runtime.GOMAXPROCS(0) * 2 {
		e.shards = append(e.shards, &shard{e: e})
	}
	return e, nil
}

func (e *engine) run(ctx context.Context, rec Recorder) (history.LoadEndRecord, error) {
	hard, stop := context.WithCancel(ctx) // ends what is in flight
	defer stop()
	if e.client != nil {
		defer e.client.CloseIdleConnections()
	}
	if r, ok := rec.(Edged); ok {
		e.edges = r.Edges()
	}
	before := usage()
	e.begin = e.now()
	e.lastOK.Store(int64(e.begin))

	c := &collector{e: e, rec: rec, pending: map[int64][]*history.Interval{}}
	c.totals = totals{replicas: map[string]int64{}, late: history.NewHistogram(), service: history.NewHistogram()}
	var end atomic.Int64
	done := make(chan struct{})
	collected := make(chan error, 1)
	go func() {
		err := c.run(done, &end)
		stop() // a load that cannot be recorded is not worth playing
		collected <- err
	}()
	graceful, release := e.graceful(hard)
	defer release()
	e.ctx = graceful
	// Cancelling reaches connections through their deadlines.
	unhook := context.AfterFunc(graceful, e.cancel)
	if e.w.Schedule == "" {
		e.closed()
	} else {
		e.open()
	}
	e.sitOut()
	end.Store(int64(e.now()))
	unhook()
	close(done)
	err := <-collected
	if err != nil {
		err = fmt.Errorf("load %q: record: %w", e.w.Name, err)
	}
	return e.endRecord(c, time.Duration(end.Load()), before), err
}

// sitOut waits until the time that was asked for is over: a load of 10 s lasts 10 s, whenever its last request ended.
func (e *engine) sitOut() {
	if !e.exhausted() {
		wait(e.ctx, e.begin+e.w.Duration-e.now())
	}
}

// exhausted says whether all requests that were asked for have been made, so that no time had to be over.
func (e *engine) exhausted() bool {
	return e.w.Duration == 0 || e.w.Requests > 0 && e.seq.Load() >= e.w.Requests
}

// cease is the first instant at which no request would have fallen due, of a load that ended at an instant; see history.LoadEndRecord.
func (e *engine) cease(end time.Duration) time.Duration {
	if e.exhausted() {
		return e.nextDue
	}
	return min(end, e.begin+e.w.Duration)
}

// cancel makes every exchange that is in flight fail at once.
func (e *engine) cancel() {
	e.stopped.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.SetDeadline(time.Unix(1, 0))
	}
}

func (e *engine) register(c net.Conn) {
	e.mu.Lock()
	e.conns[c] = struct{}{}
	e.mu.Unlock()
	if e.stopped.Load() {
		_ = c.SetDeadline(time.Unix(1, 0))
	}
}

func (e *engine) unregister(c net.Conn) {
	e.mu.Lock()
	delete(e.conns, c)
	e.mu.Unlock()
}

// graceful returns a context that ends when hard does or, if the load has a duration, a grace after its end.
func (e *engine) graceful(hard context.Context) (context.Context, context.CancelFunc) {
	if e.w.Duration <= 0 {
		return context.WithCancel(hard)
	}
	grace := e.w.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	return context.WithDeadline(hard, e.origin.Add(e.begin+e.w.Duration+max(grace, 0)))
}

// sample words an outcome for the record.
func (e *engine) sample(o *outcome, s *history.Sample) {
	*s = history.Sample{
		Seq: o.seq, Due: o.due, Sent: o.sent, Connect: o.connect, First: o.first, Done: o.done,
		Status: int(o.status), Bytes: o.bytes, Class: o.class.class(),
		Replica: e.replicas.name(o.replica), Version: e.versions.name(o.version),
	}
	if o.err != nil {
		s.Error = visible.Text(e.secrets.Mask(o.err.Error()), visible.Nothing)
	}
}

// Validate says everything that is wrong with a workload.
func (w Workload) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(w.Targets) == 0 {
		bad("no target: a load needs at least one URL")
	}
	for i, t := range w.Targets {
		if _, err := parseURL(t.URL); err != nil {
			bad("target %d: %w", i+1, err)
		}
		if t.Method != "" && !validMethod(t.Method) {
			bad("target %d: %q is not an HTTP method", i+1, t.Method)
		}
		for k, vs := range t.Header {
			if !validMethod(k) {
				bad("target %d: %q is not a header's name", i+1, k)
			}
			for _, v := range vs {
				for _, r := range v {
					if r == '\r' || r == '\n' || r == 0 {
						bad("target %d: the header %s holds a line break", i+1, k)
						break
					}
				}
			}
		}
	}
	switch {
	case w.Clients < 0:
		bad("clients is %d: must be at least 1", w.Clients)
	case w.Clients == 0 && w.Schedule == "":
		bad("neither clients (a closed workload) nor a schedule (an open one) is set")
	case w.Clients > 0 && w.Schedule != "":
		bad("clients and schedule are both set: a workload is closed or open, never both")
	}
	if w.Engine != "" && w.Engine != Vegeta {
		bad("engine %q; accepted: %s, or none for coinbench's own", w.Engine, Vegeta)
	}
	if w.Engine == Vegeta && (w.Schedule == "" || w.Backlog > 0 || w.Reuse.MaxRequests > 0 || w.Reuse.MaxAge > 0) {
		bad("vegeta plays open workloads only, without a backlog and without bounds on a connection's requests or age")
	}
	if w.Schedule != "" {
		if _, err := ParseSchedule(w.Schedule); err != nil {
			errs = append(errs, err)
		}
		if w.Think != 0 {
			bad("think time belongs to closed workloads; an open one follows its schedule")
		}
	}
	if w.Requests <= 0 && w.Duration <= 0 {
		bad("neither a number of requests nor a duration is set: the load would never end")
	}
	for name, v := range map[string]int64{
		"requests": w.Requests, "duration": int64(w.Duration), "patience": int64(w.Patience), "think": int64(w.Think),
		"connections": int64(w.Connections),
		"backlog":     int64(w.Backlog), "max_requests": int64(w.Reuse.MaxRequests), "max_age": int64(w.Reuse.MaxAge),
		"connect timeout": int64(w.Timeouts.Connect), "header timeout": int64(w.Timeouts.Header), "body timeout": int64(w.Timeouts.Body),
		"expected length": w.Expect.Length,
	} {
		if v < 0 {
			bad("%s is negative", name)
		}
	}
	if w.Transport.viaNetHTTP() && (w.Reuse.MaxRequests > 0 || w.Reuse.MaxAge > 0) {
		bad("a bound on the requests or the age of a connection works with HTTP/1.1 only, without redirects and proxies")
	}
	if w.Transport.Redirects < 0 {
		bad("redirects is negative")
	}
	if w.Transport.Proxy != "" {
		if _, err := parseProxy(w.Transport.Proxy); err != nil {
			bad("%w", err)
		}
	}
	return errors.Join(errs...)
}
