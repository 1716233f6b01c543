package des

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/internal/seeded"
	"coinbench/services/settings"
)

// Load is requests from outside the app: closed (Clients) or open (Due).
type Load struct {
	Name    string
	Targets []Target // used in turn

	// Exactly one of Clients and Due is set.
	Clients int
	Think   time.Duration                               // closed: of each client, between an answer and its next request
	Due     func(n int64) (at time.Duration, more bool) // open: when request n is due, since the load began; never earlier than request n-1

	// The load ends when Requests were made or Duration has passed, whichever is first; one of them must be set.
	Requests int64
	Duration time.Duration
	Grace    time.Duration // after Duration, for requests that are waiting or in flight; then they are dropped, and given up
	Patience time.Duration // of those that are given up, the older ones have failed; 0: history.DefaultPatience

	Connections int           // open: most connections at once; 0: 10,000
	Backlog     int           // open: most requests that wait for one; 0: no limit
	PerRequest  bool          // a new connection for each request
	Connect     time.Duration // longest time to connect; 0: no limit
	Response    time.Duration // from sent to the answer; 0: no limit
	Expect      []int         // good statuses; none: every one below 400

	MaxSamples  int64 // requests that are given to the Recorder one by one
	MaxFailures int64 // failures beyond them
	Recorder    Recorder
}

// Target is one request.
type Target struct {
	Service string
	Root    bool // GET /, which works for no delay
}

// Recorder takes the record of a load in the order in which requests end. The histograms, maps and spans of an Interval are used
// again: a Recorder that keeps them copies them. One with a method Edges() *history.Edges has its requests counted apart by those.
type Recorder interface {
	Interval(history.Interval) error
	Sample(history.Sample) error
}

const interval = int64(time.Second)

// load is a Load at work.
type load struct {
	Load
	index    int32
	services []int32
	timeouts timeouts
	begin    int64
	ending   bool // no new requests
	over     bool
	next     int64 // number of the next request
	random   rand.PCG

	clients []int32 // all of them
	idle    []int32 // open: those without a request
	waiting []arrival
	head    int // of waiting

	due, ok, failed int64
	open            int64 // in flight
	inFlight        int64 // when it was stopped
	failuresKept    int64
	samplesKept     int64
	lastOK          int64
	maxGap          int64
	edges           *history.Edges
	intervals       []*history.Interval // of the present second, by epoch; mostly one
	spare           []*history.Interval
	partBegins      int64
	parts           history.PartNames
	partEnds        int64
	ceased          int64 // see history.LoadEndRecord
	end             int64
	err             error
}

type arrival struct{ seq, due int64 }

// client is a client of a load: at most one request at a time.
type client struct {
	load      int32
	gen       uint32
	call      int32
	caller    caller
	seq       int64
	due, sent int64
	busy      bool
}

// StartLoad begins a load now and returns its number.
func (s *Sim) StartLoad(l Load) (int, error) {
	w := &load{Load: l, index: int32(len(s.loads)), begin: s.now, lastOK: s.now, random: seeded.Stream(s.config.Seed, seeded.Word("load"),
		seeded.Word(l.Name))}
	var faults []error
	if (l.Clients > 0) == (l.Due != nil) || l.Clients < 0 {
		faults = append(faults, fmt.Errorf("%d clients and a schedule: %v; accepted: one of the two", l.Clients, l.Due != nil))
	}
	if l.Requests <= 0 && l.Duration <= 0 {
		faults = append(faults, errors.New("no end; accepted: requests, a duration or both"))
	}
	if len(l.Targets) == 0 {
		faults = append(faults, errors.New("no target; accepted: at least one"))
	}
	for _, t := range l.Targets {
		i := s.index(t.Service)
		if i < 0 || s.services[i].role != serves {
			faults = append(faults, fmt.Errorf("target %q; accepted: a service that answers requests", t.Service))
		}
		w.services = append(w.services, i)
	}
	if err := errors.Join(faults...); err != nil {
		return 0, fmt.Errorf("start load %s: %w", l.Name, err)
	}
	if w.Connections <= 0 {
		w.Connections = 10_000
	}
	if w.Patience <= 0 {
		w.Patience = history.DefaultPatience
	}
	w.timeouts = timeouts{int64(l.Connect), int64(l.Response), s.lane(int64(l.Response))}
	if r, ok := l.Recorder.(interface{ Edges() *history.Edges }); ok {
		w.edges = r.Edges()
	}
	w.newPart(s.now)
	s.keeping = s.keeping || !l.PerRequest
	s.loads = append(s.loads, w)
	if l.Duration > 0 {
		s.schedule(int64(l.Duration), loadEnds, w.index, 0)
	}
	if l.Due == nil {
		for range l.Clients {
			c := s.newClient(w)
			s.schedule(0, clientSends, c, 0)
		}
	} else {
		s.nextDue(w)
	}
	return len(s.loads) - 1, nil
}

// LoadEnd says how a load ended, and whether it has. A Recorder's first error is the error.
func (s *Sim) LoadEnd(number int) (history.LoadEndRecord, bool, error) {
	if number < 0 || number >= len(s.loads) {
		return history.LoadEndRecord{}, false, fmt.Errorf("load %d; accepted: what StartLoad returned", number)
	}
	w := s.loads[number]
	return history.LoadEndRecord{End: time.Duration(w.end), Ceased: time.Duration(w.ceased), Due: w.due, OK: w.ok, Failed: w.failed,
		InFlight: w.inFlight,
		MaxGap:   time.Duration(w.maxGap), SamplesKept: w.samplesKept, FailuresKept: w.failuresKept}, w.over, w.err
}

// StopLoad ends a load now: what is in flight is given up.
func (s *Sim) StopLoad(number int) error {
	if _, over, err := s.LoadEnd(number); err != nil || over {
		return err
	}
	w := s.loads[number]
	w.ending = true
	s.loadGraceEnds(w.index)
	return nil
}

func (s *Sim) newClient(w *load) int32 {
	id := int32(len(s.clients))
	s.clients = append(s.clients, client{load: w.index, call: none, caller: outsider()})
	w.clients = append(w.clients, id)
	return id
}

// clientSends is the next request of a client of a closed load.
func (s *Sim) clientSends(id int32, gen uint32) {
	c := &s.clients[id]
	w := s.loads[c.load]
	if c.gen != gen || w.ending {
		return
	}
	if w.exhausted() {
		return
	}
	s.send(w, id, arrival{w.next, s.now})
	w.next++
}

func (s *Sim) send(w *load, id int32, a arrival) {
	c := &s.clients[id]
	c.seq, c.due, c.sent, c.busy = a.seq, a.due, s.now, true
	w.due++
	w.open++
	i := int(a.seq % int64(len(w.Targets)))
	s.call(w.services[i], &c.caller, &w.random, id, true, !w.Targets[i].Root, !w.PerRequest, &w.timeouts)
}

// nextDue plans the next request of an open load.
func (s *Sim) nextDue(w *load) {
	at, more := w.Due(w.next)
	if w.exhausted() {
		if w.ending = true; more {
			w.ceased = w.begin + int64(at)
		}
		s.maybeOver(w)
		return
	}
	if !more || w.Duration > 0 && at >= w.Duration {
		w.ending = true
		s.maybeOver(w)
		return
	}
	s.schedule(max(0, w.begin+int64(at)-s.now), loadDue, w.index, 0)
}

func (s *Sim) loadDue(index int32) {
	w := s.loads[index]
	if w.over || w.ending {
		return
	}
	a := arrival{w.next, s.now}
	w.next++
	switch n := len(w.idle); {
	case n > 0:
		id := w.idle[n-1]
		w.idle = w.idle[:n-1]
		s.send(w, id, a)
	case len(w.clients) < w.Connections:
		s.send(w, s.newClient(w), a)
	case w.Backlog > 0 && len(w.waiting)-w.head >= w.Backlog:
		s.drop(w, a)
	default:
		if w.head > 1024 && w.head > len(w.waiting)/2 {
			w.waiting = append(w.waiting[:0], w.waiting[w.head:]...)
			w.head = 0
		}
		w.waiting = append(w.waiting, a)
	}
	s.nextDue(w)
}

// drop records a request that was never sent.
func (s *Sim) drop(w *load, a arrival) {
	w.due++
	s.record(w, history.Sample{Seq: a.seq, Due: time.Duration(a.due), Done: time.Duration(s.now), Class: history.Dropped})
}

func (s *Sim) clientAnswered(id int32, q *call) {
	c := &s.clients[id]
	w := s.loads[c.load]
	class := history.OK
	if len(w.Expect) > 0 && !slices.Contains(w.Expect, int(q.status)) || len(w.Expect) == 0 && q.status >= 400 {
		class = history.UnexpectedStatus
	}
	s.finished(id, q, class, int(q.status))
}

func (s *Sim) clientFailed(id int32, q *call) {
	s.finished(id, q, classes()[q.failure], 0)
}

// classes are the history's words for failures; a worker's exceptions have the same, and one of the store.
func classes() [failures]history.Class {
	return [failures]history.Class{history.OK, history.Refused, history.ResetBeforeByte, history.ConnectTimeout, history.HeaderTimeout,
		settings.StoreError}
}

// finished records a request that was sent, and lets its client go on.
func (s *Sim) finished(id int32, q *call, class history.Class, status int) {
	c := &s.clients[id]
	w := s.loads[c.load]
	c.busy = false
	w.open--
	sample := history.Sample{Seq: c.seq, Due: time.Duration(c.due), Sent: time.Duration(c.sent), Done: time.Duration(s.now), Status: status,
		Class: class}
	if status > 0 {
		sample.First = sample.Done
		if !q.reused {
			sample.Connect = time.Duration(q.arrived - q.sent)
		}
		t := &s.tasks[s.servers[q.server].task]
		sample.Replica, sample.Version = t.settings.Replica, t.settings.Version
		if sample.Replica == "" {
			sample.Replica, _, _ = strings.Cut(t.name, "#")
		}
	}
	s.record(w, sample)
	if w.Due == nil {
		switch {
		case w.ending || w.exhausted():
			s.maybeOver(w)
		case w.Think == 0: // at once, for the queue's order is that of the answers
			s.clientSends(id, c.gen)
		default:
			s.schedule(int64(w.Think), clientSends, id, c.gen)
		}
		return
	}
	if w.head < len(w.waiting) {
		a := w.waiting[w.head]
		w.head++
		s.send(w, id, a)
		return
	}
	w.idle = append(w.idle, id)
	s.maybeOver(w)
}

// exhausted says whether all requests that were asked for have been made.
func (w *load) exhausted() bool { return w.Requests > 0 && w.next == w.Requests }

// maybeOver ends a load that makes no more requests and has none left, when the time that was asked for is over.
func (s *Sim) maybeOver(w *load) {
	made := w.ending || w.Due == nil && w.exhausted()
	if w.Duration > 0 && !w.exhausted() && s.now < w.begin+int64(w.Duration) {
		return
	}
	if made && w.open == 0 && w.head == len(w.waiting) && !w.over {
		s.finish(w)
	}
}

func (s *Sim) loadEnds(index int32) {
	w := s.loads[index]
	if w.over {
		return
	}
	w.ending = true
	if w.open == 0 && w.head == len(w.waiting) {
		s.finish(w)
		return
	}
	s.schedule(int64(w.Grace), loadGraceEnds, index, 0)
}

// loadGraceEnds gives up what is in flight and drops what waits.
func (s *Sim) loadGraceEnds(index int32) {
	w := s.loads[index]
	if w.over {
		return
	}
	w.inFlight = w.open
	for _, id := range w.clients {
		c := &s.clients[id]
		if !c.busy {
			continue
		}
		if c.call >= 0 {
			s.calls[c.call].owner = none
			c.call, c.caller.kept = none, none
		}
		c.busy = false
		w.open--
		class := history.Cancelled
		if time.Duration(s.now-c.due) > w.Patience {
			class = history.NoAnswer
		}
		s.record(w, history.Sample{Seq: c.seq, Due: time.Duration(c.due), Sent: time.Duration(c.sent), Done: time.Duration(s.now), Class: class})
	}
	for ; w.head < len(w.waiting); w.head++ {
		s.drop(w, w.waiting[w.head])
	}
	s.finish(w)
}

// finish closes the record.
func (s *Sim) finish(w *load) {
	w.over, w.ending, w.end = true, true, s.now
	for s.now > w.partEnds {
		ends := w.partEnds
		w.give(ends)
		w.newPart(ends)
	}
	if w.Duration > 0 && !w.exhausted() {
		w.ceased = min(s.now, w.begin+int64(w.Duration))
	}
	quiet := history.LoadEndRecord{End: time.Duration(s.now), Ceased: time.Duration(w.ceased)}.Quiet()
	w.gap(int64(quiet), w.part(w.edges.Epoch(time.Duration(s.now))))
	w.give(s.now)
	for _, id := range w.clients {
		c := &s.clients[id]
		c.gen++
		if kept := c.caller.kept; kept >= 0 && c.call < 0 {
			s.connect(kept, -1)
		}
		c.caller.kept = none
	}
	s.changed = true
}

// newPart begins a second of the record.
func (w *load) newPart(at int64) {
	w.spare = append(w.spare, w.intervals...)
	w.intervals = w.intervals[:0]
	w.partBegins, w.partEnds = at, at+interval
}

// part is the present second's interval of the requests that fell due in an epoch.
func (w *load) part(epoch time.Duration) *history.Interval {
	at, known := slices.BinarySearchFunc(w.intervals, epoch, func(i *history.Interval, epoch time.Duration) int {
		return cmp.Compare(i.Epoch,
			epoch)
	})
	if known {
		return w.intervals[at]
	}
	p := &history.Interval{Failures: map[history.Class]int64{}, Replicas: map[string]int64{}, Versions: map[string]int64{}}
	if n := len(w.spare); n > 0 {
		p, w.spare = w.spare[n-1], w.spare[:n-1]
	}
	for _, h := range []**history.Histogram{&p.Response, &p.Service, &p.GivenUp, &p.Lag} {
		if *h == nil {
			*h = history.NewHistogram()
		}
		(*h).Reset()
	}
	clear(p.Failures)
	clear(p.Replicas)
	clear(p.Versions)
	*p = history.Interval{At: time.Duration(w.partBegins), Epoch: epoch, Failures: p.Failures, Replicas: p.Replicas, Versions: p.Versions,
		Response: p.Response, Service: p.Service, GivenUp: p.GivenUp, Lag: p.Lag, Served: p.Served[:0]}
	w.intervals = slices.Insert(w.intervals, at, p)
	return p
}

// gap notes that there was no success since the last one; p is where that ends.
func (w *load) gap(now int64, p *history.Interval) {
	g := now - w.lastOK
	w.maxGap = max(w.maxGap, g)
	p.MaxGap = max(p.MaxGap, time.Duration(g))
}

// give hands the present second over, cut at an instant.
func (w *load) give(at int64) {
	if len(w.intervals) == 0 {
		w.part(w.edges.Epoch(time.Duration(w.partBegins)))
	}
	for _, p := range w.intervals {
		p.Length = time.Duration(at) - p.At
		if p.Until = w.edges.Until(p.Epoch); p.Until > time.Duration(at) {
			p.Until = 0
		}
		if (p.Length > 0 || p.Due > 0) && w.Recorder != nil && w.err == nil {
			w.err = w.Recorder.Interval(*p)
		}
	}
}

func (s *Sim) record(w *load, sample history.Sample) {
	for s.now >= w.partEnds {
		ends := w.partEnds
		w.give(ends)
		w.newPart(ends)
	}
	p := w.part(w.edges.Epoch(sample.Due))
	p.Due++
	if sample.Class == history.OK {
		w.ok++
		p.OK++
		w.gap(s.now, p)
		w.lastOK = s.now
		p.Served = history.Succeeded(p.Served, time.Duration(s.now))
		history.Observe(&p.Response, sample.Done-sample.Due)
		history.Observe(&p.Service, sample.Done-sample.Sent)
	} else {
		w.failed++
		p.Failures[sample.Class]++
		if sample.Class.GivenUp() {
			history.Observe(&p.GivenUp, sample.Done-sample.Due)
		}
		if sample.Class != history.Cancelled {
			p.LastFail = sample.Done
			w.edges.Fail(sample.Done)
		}
	}
	if sample.Class != history.Dropped {
		history.Observe(&p.Lag, sample.Sent-sample.Due)
	}
	if part := w.parts.ID(sample.Replica, sample.Version); part > 0 {
		to := p.Part(w.parts.Names(part))
		if sample.Class == history.OK {
			to.OK++
			history.Observe(&to.Response, sample.Done-sample.Due)
		} else {
			if to.Failures == nil {
				to.Failures = map[history.Class]int64{}
			}
			to.Failures[sample.Class]++
		}
	}
	if sample.Status > 0 {
		p.Replicas[sample.Replica]++
		p.Versions[sample.Version]++
	}
	keep := w.samplesKept < w.MaxSamples
	if keep {
		w.samplesKept++
	} else if sample.Class != history.OK && w.failuresKept < w.MaxFailures {
		w.failuresKept++
		keep = true
	}
	if keep && w.Recorder != nil && w.err == nil {
		w.err = w.Recorder.Sample(sample)
	}
}
