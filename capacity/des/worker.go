package des

import (
	"math/rand/v2"
	"time"

	"coinbench/services/settings"
)

// worker is a task of the worker's loop. What every loop touches comes first.
type worker struct {
	gen             uint32
	call            int32
	paused          bool
	draining        bool
	keeps           bool
	asked           uint8 // which of its visits
	laneLoop        int8  // of think + overhead
	laneCall        int8  // of overhead
	targets         [2]int32
	callers         [2]caller
	think, overhead int64
	stage           int64         // when the present one began
	deadline        int64         // of the next flush
	stages          [stages]int64 // ns
	times           [stages]int64 // that each was gone through
	random          rand.PCG
	timeouts        timeouts

	unflushed, hashes, posted, lastHash int64
	counted, coins                      int64
	epoch                               uint32 // the life of the store that its connection belongs to; 0: none yet

	task, service     int32
	alive, backingOff bool
	pending           kind  // what happened while it was paused; 0: nothing
	answered          int16 // status of the answer that came while it was paused; 0: none
	backoff           int64
	lost, backoffs    int64
	silence, since    int64 // ns waited after errors in the back-offs that are over; when the one that is not began
	errors            [failures]int64
}

// The stages of a loop, in the order of settings.Stages.
const (
	stageThink = iota
	stageFirst
	stageNext
	stageStore
	stageOverhead
	stages
)

func (w *worker) spent(stage int, ns int64) {
	w.stages[stage] += ns
	w.times[stage]++
}

const flushInterval = int64(time.Second)

func (s *Sim) newWorker(task, service int32, c settings.Settings, p rand.PCG) worker {
	s.keeping = s.keeping || c.KeepAlive
	return worker{task: task, service: service, alive: true, call: none, keeps: c.KeepAlive, random: p,
		targets: s.visits(&s.services[service]),
		callers: [2]caller{newCaller(), newCaller()},
		think:   int64(c.Think), overhead: int64(c.CallOverhead), backoff: int64(c.Backoff), deadline: -1,
		laneLoop: s.lane(int64(c.Think + c.CallOverhead)), laneCall: s.lane(int64(c.CallOverhead)),
		timeouts: timeouts{int64(c.ConnectTimeout), int64(c.ResponseTimeout), s.lane(int64(c.ResponseTimeout))}}
}

// visits are the services that a driver's loop visits; none where one is missing.
func (s *Sim) visits(v *service) [2]int32 {
	names, at := v.Visits, [2]int32{none, none}
	if names == nil {
		names = v.Settings.Visits()
	}
	if len(names) == len(at) {
		for i, name := range names {
			at[i] = s.index(name)
		}
	}
	return at
}

// mine returns the worker that an event was meant for; nil: it is gone, or paused and will do it when it goes on.
func (s *Sim) mine(id int32, gen uint32, k kind) *worker {
	w := &s.workers[id]
	if w.gen != gen {
		return nil
	}
	if w.paused {
		w.pending = k
		return nil
	}
	return w
}

func (s *Sim) workerBegins(id int32, gen uint32) {
	if s.mine(id, gen, workerBegins) != nil {
		s.loop(id)
	}
}

// loop is the top of the worker's loop: the flush is checked here and only here.
func (s *Sim) loop(id int32) {
	w := &s.workers[id]
	if s.now > w.deadline || w.draining {
		if !s.stored(w) {
			s.workerFails(id, storeFailed)
			return
		}
		w.stage = s.now
		if s.store.delay > 0 {
			s.after(s.now, s.store.delay, s.lane(s.store.delay), workerFlushed, id, w.gen)
			return
		}
		s.flush(id)
		return
	}
	s.after(s.now, w.think+w.overhead, w.laneLoop, workerCallsFirst, id, w.gen)
}

func (s *Sim) workerFlushed(id int32, gen uint32) {
	if s.mine(id, gen, workerFlushed) != nil {
		s.flush(id)
	}
}

func (s *Sim) flush(id int32) {
	w := &s.workers[id]
	w.spent(stageStore, s.now-w.stage)
	w.counted += w.unflushed
	s.store.hashes += w.unflushed
	w.unflushed = 0
	w.deadline = s.now + flushInterval
	if w.draining {
		s.taskGone(w.task, "")
		return
	}
	s.after(s.now, w.think+w.overhead, w.laneLoop, workerCallsFirst, id, w.gen)
}

// stored says whether the store answers the worker's connection, which is kept from its first command on.
func (s *Sim) stored(w *worker) bool {
	if w.epoch == 0 {
		w.epoch = s.store.epoch + 1
	}
	return s.store.up && w.epoch == s.store.epoch+1
}

func (s *Sim) workerCallsFirst(id int32, gen uint32) {
	w := s.mine(id, gen, workerCallsFirst)
	if w == nil {
		return
	}
	w.spent(stageThink, w.think)
	w.spent(stageOverhead, w.overhead)
	s.ask(w, id, 0)
}

func (s *Sim) workerCallsNext(id int32, gen uint32) {
	if w := s.mine(id, gen, workerCallsNext); w != nil {
		w.spent(stageOverhead, w.overhead)
		s.ask(w, id, 1)
	}
}

func (s *Sim) ask(w *worker, id int32, which uint8) {
	w.stage, w.asked = s.now, which
	s.call(w.targets[which], &w.callers[which], &w.random, id, false, true, w.keeps, &w.timeouts)
}

// workerAnswered goes on with an answer, whatever its status: the original looks at none.
func (s *Sim) workerAnswered(id int32, status int16) {
	w := &s.workers[id]
	if w.paused {
		w.answered = status
		return
	}
	if w.asked == 0 {
		w.spent(stageFirst, s.now-w.stage)
		if w.overhead > 0 {
			s.after(s.now, w.overhead, w.laneCall, workerCallsNext, id, w.gen)
		} else {
			s.ask(w, id, 1)
		}
		return
	}
	w.spent(stageNext, s.now-w.stage)
	w.posted++
	if status < 400 && w.random.Uint64()&15 == 0 { // a hash that begins with 0
		if !s.stored(w) {
			s.workerFails(id, storeFailed)
			return
		}
		w.stage = s.now
		if s.store.delay > 0 {
			s.after(s.now, s.store.delay, s.lane(s.store.delay), workerStored, id, w.gen)
			return
		}
		s.coin(w)
	}
	s.completed(id)
}

func (s *Sim) workerStored(id int32, gen uint32) {
	if w := s.mine(id, gen, workerStored); w != nil {
		w.spent(stageStore, s.now-w.stage)
		s.coin(w)
		s.completed(id)
	}
}

func (s *Sim) coin(w *worker) {
	w.coins++
	s.store.coins++
}

func (s *Sim) completed(id int32) {
	w := &s.workers[id]
	w.hashes++
	w.unflushed++
	w.lastHash = s.now
	s.loop(id)
}

// workerFails is an exception: what was not flushed is lost, connections are closed, and the worker is silent.
func (s *Sim) workerFails(id int32, f failure) {
	w := &s.workers[id]
	w.errors[f]++
	w.lost += w.unflushed
	w.unflushed = 0
	w.deadline = -1
	w.epoch = 0
	for i := range w.callers {
		if kept := w.callers[i].kept; kept >= 0 {
			if f == storeFailed || int(w.asked) != i { // the one that failed is counted out already
				s.connect(kept, -1)
			}
			w.callers[i].kept = none
		}
	}
	if w.draining {
		s.taskGone(w.task, "")
		return
	}
	w.backoffs++
	w.backingOff = true
	w.since = s.now
	s.schedule(max(w.backoff, refusal), workerBackoffEnds, id, w.gen)
}

func (s *Sim) workerBackoffEnds(id int32, gen uint32) {
	if w := s.mine(id, gen, workerBackoffEnds); w != nil {
		w.backingOff = false
		w.silence += s.now - w.since
		s.loop(id)
	}
}

// resumeWorker does what happened while it was paused.
func (s *Sim) resumeWorker(id int32) {
	w := &s.workers[id]
	w.paused = false
	if k := w.pending; k != 0 {
		w.pending = 0
		s.schedule(0, k, id, w.gen)
	}
	if status := w.answered; status != 0 {
		w.answered = 0
		s.workerAnswered(id, status)
	}
}
