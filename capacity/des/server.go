package des

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"coinbench/services/settings"
)

// Costs that are never zero on a machine. Without them a client that is refused, or asks a server without delay, would do
// so for ever at one instant.
const (
	refusal      = int64(100 * time.Microsecond)
	leastService = int64(50 * time.Microsecond)
)

// mostRetries is Linux's tcp_syn_retries: a SYN is sent again after 1, 2, 4 ... 32 s, and given up after another 64 s.
const mostRetries = 6

type condition uint8

const (
	dead    condition = iota // no process: connections are refused
	booting                  // as settings.BootMode says
	up
	draining // refuses connections, finishes what it has
)

// server is a task of a service that answers requests. What every request touches comes first: with thousands of servers the
// simulation waits for memory, not for the processor.
type server struct {
	condition             condition
	paused                bool
	serial                bool // closes after each answer, and its queue is the kernel's
	inRotation            bool
	distribution          distribution
	lane                  int8 // of occupancy + delay when constant
	service               int32
	slots, busy           int32
	first, last           int32 // of the queue; none
	queued, conns         int32
	errorRate             float64
	occupancy, delay      int64
	intake, reading       int64 // of a request; until when the reactor takes some in
	random                rand.PCG
	busyDone, busyStarted int64 // nanoseconds occupied by ended requests, and the sum of the starts of those in service
	queueSum, serviceSum  int64
	queueCount, served    uint64
	main                  uint64 // requests for work answered 200

	limit               int32
	before, after       int32 // in the order of connections
	task                int32
	jitter              int64
	root                uint64 // requests for / answered 200
	failed, unavailable uint64 // with the injected status, with 503
	bootMode            settings.BootMode
	deaf                bool // it listens on another port than the one at which clients ask
}

// call is one request, from the client's connect to its end.
type call struct {
	sent, arrived, started int64
	server, owner, next    int32 // owner: worker or client; none: abandoned. next: in a queue, or in the list of free ones
	gen                    uint32
	status                 int16
	state                  callState
	tries                  uint8
	ofClient               bool // owner is a load's client
	ofCheck                bool // owner is the task whose health is asked for
	work                   bool // not GET /
	reused                 bool // of the connection
	taken                  bool // in, by the reactor
	keeps                  bool // the client would use the connection again
	failure                failure
}

type callState uint8

const (
	free callState = iota
	connecting
	queued
	serving
	stalled  // its service ended while the server was paused
	rejected // met a server that boots with 503
	failing
)

// failure is a history.Class as a number.
type failure uint8

const (
	noFailure failure = iota
	refused
	reset
	connectTimeout
	responseTimeout
	storeFailed
	failures
)

// call connects and sends a request. c is what the balancer knows of the client.
func (s *Sim) call(service int32, c *caller, p *rand.PCG, owner int32, ofClient, work, keeps bool, timeouts *timeouts) {
	v := &s.services[service]
	id := s.newCall()
	q := &s.calls[id]
	*q = call{gen: q.gen, sent: s.now, owner: owner, ofClient: ofClient, work: work, keeps: keeps, next: none}
	if ofClient {
		s.clients[owner].call = id
	} else {
		s.workers[owner].call = id
	}
	if timeouts.response > 0 {
		s.after(s.now, timeouts.response, timeouts.lane, callTimesOut, id, q.gen)
	}
	if keeps && c.kept >= 0 && s.servers[c.kept].condition == up && s.servers[c.kept].service == service {
		q.server, q.reused = c.kept, true
		s.arrive(id)
		return
	}
	if c.kept >= 0 { // of another service
		s.connect(c.kept, -1)
		c.kept = none
	}
	q.server = s.pick(v, c, p)
	if keeps {
		c.kept = q.server
	}
	if q.server < 0 || s.servers[q.server].deaf || s.servers[q.server].refuses() {
		q.state, q.failure = failing, refused
		s.schedule(refusal, callFails, id, q.gen)
		return
	}
	q.state = connecting
	s.connect(q.server, 1)
	if v.network > 0 {
		s.after(s.now, v.network, v.lane, callArrives, id, q.gen)
	} else {
		s.arrive(id)
	}
}

// newCall takes a free call, or makes one.
func (s *Sim) newCall() int32 {
	id := s.freeCall
	if id >= 0 {
		s.freeCall = s.calls[id].next
		return id
	}
	s.calls = append(s.calls, call{})
	return int32(len(s.calls) - 1)
}

// timeouts of a client; 0: none.
type timeouts struct {
	connect, response int64
	lane              int8
}

// atPort says whether a server that listens there is asked at all: clients know port 80 only.
func atPort(listen string) bool {
	port := listen[strings.LastIndexByte(listen, ':')+1:]
	return port == "80" || port == "0" || port == ""
}

func (v *server) refuses() bool {
	return v.condition == dead || v.condition == draining || v.condition == booting && v.bootMode == settings.Refuse
}

func (s *Sim) callArrives(id int32, gen uint32) {
	if s.calls[id].gen == gen {
		s.arrive(id)
	}
}

// arrive brings a request to its server: into a slot, the queue, or the wait of a client whose SYN was dropped.
func (s *Sim) arrive(id int32) {
	q := &s.calls[id]
	v := &s.servers[q.server]
	switch {
	case !q.reused && v.refuses() && !(q.taken && v.condition == draining):
		s.connect(q.server, -1)
		q.state, q.failure = failing, refused
		s.schedule(refusal, callFails, id, q.gen)
	case v.condition == booting && v.bootMode == settings.Unavailable && !v.paused:
		q.arrived, q.state = s.now, rejected
		s.schedule(leastService, callEnds, id, q.gen)
	case v.intake > 0 && !q.taken && v.condition != booting && !v.paused:
		q.taken, q.state = true, connecting
		v.reading = max(v.reading, s.now) + v.intake
		s.schedule(v.reading-s.now, callArrives, id, q.gen)
	case v.busy < v.slots && v.condition != booting && !v.paused && v.first < 0 && v.reading <= s.now:
		q.arrived = s.now
		s.serve(v, id)
	case v.serial && v.queued >= v.limit:
		s.dropSYN(id)
	default:
		q.arrived, q.state = s.now, queued
		v.enqueue(s.calls, id)
		if q.taken && v.reading <= s.now && v.condition != booting && !v.paused {
			s.serveNext(v)
		}
	}
}

func (v *server) enqueue(calls []call, id int32) {
	calls[id].next = none
	if v.last >= 0 {
		calls[v.last].next = id
	} else {
		v.first = id
	}
	v.last = id
	v.queued++
}

// dropSYN is what a full backlog does: nothing. The client's kernel tries again.
func (s *Sim) dropSYN(id int32) {
	q := &s.calls[id]
	q.tries++
	wait := int64(time.Second) << (q.tries - 1)
	if limit := s.connectTimeout(q); limit > 0 && s.now+wait-q.sent >= limit {
		wait = max(0, q.sent+limit-s.now)
		q.failure = connectTimeout
	} else if q.tries > mostRetries {
		q.failure = connectTimeout
	}
	q.state = connecting
	s.schedule(wait, callRetries, id, q.gen)
}

func (s *Sim) connectTimeout(q *call) int64 {
	switch {
	case q.owner < 0 || q.ofCheck:
		return 0
	case q.ofClient:
		return s.loads[s.clients[q.owner].load].timeouts.connect
	}
	return s.workers[q.owner].timeouts.connect
}

func (s *Sim) callRetries(id int32, gen uint32) {
	q := &s.calls[id]
	if q.gen != gen {
		return
	}
	if q.failure == connectTimeout {
		s.connect(q.server, -1)
		s.fail(id)
		return
	}
	s.arrive(id)
}

// serve puts a request into a slot.
func (s *Sim) serve(v *server, id int32) {
	q := &s.calls[id]
	q.started, q.state, q.status = s.now, serving, 200
	v.busy++
	v.busyStarted += s.now
	v.queueCount++
	v.queueSum += s.now - q.arrived
	if q.work && v.errorRate == 0 && v.lane >= 0 {
		s.after(s.now, v.occupancy+v.delay, v.lane, callEnds, id, q.gen)
		return
	}
	d := v.occupancy
	switch {
	case v.errorRate > 0 && uniform(&v.random) < v.errorRate:
		q.status = 0 // the injected one
	case q.work:
		d += v.distribution.draw(&v.random, v.delay, v.jitter)
	}
	s.schedule(max(d, leastService), callEnds, id, q.gen)
}

func (s *Sim) callEnds(id int32, gen uint32) {
	q := &s.calls[id]
	if q.gen != gen {
		return
	}
	v := &s.servers[q.server]
	if q.state == rejected {
		q.status = 503
		v.unavailable++
		s.answer(id)
		return
	}
	if v.paused {
		q.state = stalled
		return
	}
	v.busy--
	v.busyStarted -= q.started
	v.busyDone += s.now - q.started
	v.served++
	v.serviceSum += s.now - q.started
	switch {
	case q.status == 0:
		v.failed++
	case q.work:
		v.main++
	default:
		v.root++
	}
	if v.first >= 0 { // before the client can ask again: the queue was there first
		s.serveNext(v)
	}
	from := q.server
	s.answer(id)
	if v := &s.servers[from]; v.condition == draining && v.busy == 0 && v.first < 0 {
		s.taskGone(v.task, "")
	}
}

func (s *Sim) serveNext(v *server) {
	for v.busy < v.slots && v.first >= 0 {
		id := v.first
		v.first = s.calls[id].next
		if v.first < 0 {
			v.last = none
		}
		v.queued--
		s.serve(v, id)
	}
}

// answer ends a request that got a status.
func (s *Sim) answer(id int32) {
	q := &s.calls[id]
	v := &s.servers[q.server]
	kept := q.keeps && !v.serial && v.condition == up && q.owner >= 0
	if !kept {
		s.connect(q.server, -1)
	}
	if q.status == 0 {
		q.status = int16(s.services[v.service].Settings.ErrorStatus)
	}
	owner := q.owner
	switch {
	case owner < 0:
		s.release(id)
	case q.ofClient:
		done := *q
		s.release(id)
		s.clients[owner].call = none
		if !kept {
			s.clients[owner].caller.kept = none
		}
		s.clientAnswered(owner, &done)
	case q.ofCheck:
		why, sent := "", q.sent
		if q.status >= 400 {
			why = fmt.Sprintf("status %d", q.status)
		}
		s.release(id)
		s.checked(owner, sent, why)
	default:
		status := q.status
		s.release(id)
		w := &s.workers[owner]
		w.call = none
		if !kept {
			w.callers[w.asked].kept = none
		}
		s.workerAnswered(owner, status)
	}
}

func (s *Sim) callFails(id int32, gen uint32) {
	if s.calls[id].gen == gen {
		s.fail(id)
	}
}

// fail ends a request that got no answer. Its connection has been counted out.
func (s *Sim) fail(id int32) {
	done := s.calls[id]
	s.release(id)
	switch {
	case done.owner < 0:
	case done.ofClient:
		s.clients[done.owner].call = none
		s.clients[done.owner].caller.kept = none
		s.clientFailed(done.owner, &done)
	case done.ofCheck:
		s.checked(done.owner, done.sent, string(classes()[done.failure]))
	default:
		s.workers[done.owner].call = none
		s.workerFails(done.owner, done.failure)
	}
}

// callTimesOut is a client that gives up. The server does not notice: what is queued is served, what is in service
// runs on, both for no client.
func (s *Sim) callTimesOut(id int32, gen uint32) {
	q := &s.calls[id]
	if q.gen != gen || q.owner < 0 {
		return
	}
	done := *q
	done.failure = responseTimeout
	switch {
	case q.state == connecting || q.state == failing:
		if q.state == connecting {
			s.connect(q.server, -1)
		}
		s.release(id)
	default:
		q.owner = none
	}
	switch {
	case done.ofClient:
		s.clients[done.owner].call = none
		s.clients[done.owner].caller.kept = none
		s.clientFailed(done.owner, &done)
	case done.ofCheck:
		s.checked(done.owner, done.sent, fmt.Sprintf("no answer within %s", time.Duration(s.now-done.sent)))
	default:
		s.workers[done.owner].call = none
		s.workerFails(done.owner, responseTimeout)
	}
}

// release gives a call back. Events that are still on their way to it find another gen.
func (s *Sim) release(id int32) {
	q := &s.calls[id]
	q.gen++
	q.state = free
	q.next = s.freeCall
	s.freeCall = id
}

// cutOff resets every connection of a server that has died.
func (s *Sim) cutOff(i int32) {
	v := &s.servers[i]
	v.first, v.last, v.queued = none, none, 0
	// Ended service must not be counted; what was in service was occupation until now.
	v.busyDone += int64(v.busy)*s.now - v.busyStarted
	v.busy, v.busyStarted = 0, 0
	if v.conns == 0 { // as with most that drained: no client has to be looked for
		return
	}
	var hit []int32
	for id := range s.calls {
		if q := &s.calls[id]; q.state != free && q.state != failing && q.server == i {
			hit = append(hit, int32(id))
		}
	}
	for _, id := range hit {
		q := &s.calls[id]
		q.gen++ // its events are void
		q.failure = reset
		if q.state == connecting {
			q.failure = refused
		}
		q.state = failing
		s.connect(i, -1)
		s.schedule(refusal, callFails, id, q.gen)
	}
	s.dropKept(i)
}

// dropKept closes the idle kept connections of a server. One with a request on it ends with that.
func (s *Sim) dropKept(i int32) {
	if !s.keeping {
		return
	}
	for k := range s.workers {
		w := &s.workers[k]
		for asked := range w.callers {
			if w.callers[asked].kept == i && (w.call < 0 || int(w.asked) != asked) {
				w.callers[asked].kept = none
				s.connect(i, -1)
			}
		}
	}
	for k := range s.clients {
		if c := &s.clients[k]; c.caller.kept == i && c.call < 0 {
			c.caller.kept = none
			s.connect(i, -1)
		}
	}
}

func newServer(task, service int32, c settings.Settings, p rand.PCG) server {
	v := server{task: task, service: service, bootMode: c.BootMode, deaf: !atPort(c.Listen), serial: c.Accept == settings.Serial,
		slots: int32(c.Concurrency), first: none, last: none, limit: int32(c.QueueLimit),
		occupancy: int64(c.Occupancy), intake: int64(c.Intake), delay: int64(c.Delay), jitter: int64(c.Jitter),
		distribution: distributionOf(c.Distribution),
		lane:         -1, errorRate: c.ErrorRate, random: p, before: none, after: none}
	if c.Concurrency == 0 {
		v.slots = math.MaxInt32
	}
	return v
}
