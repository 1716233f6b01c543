package des

import (
	"strconv"
	"time"

	"coinbench/history"
	"coinbench/services/settings"
)

// Totals are the counters of a service, summed over all the tasks that it ever had.
type Totals struct {
	Answered    uint64 // requests, by any status
	BusyS       float64
	QueueS      float64 // waited, by requests that took a slot
	Queued      uint64  // requests that took a slot
	Hashes      int64
	Counted     int64
	Lost        int64
	Unflushed   int64 // of the workers that live
	Coins       int64
	Posted      int64
	Backoffs    int64
	BackingOff  int64 // workers
	Errors      map[history.Class]int64
	StoreHashes int64
	StoreCoins  int64
}

// Totals sums up the counters of a service, of all services for "".
func (s *Sim) Totals(name string) Totals {
	t := Totals{Errors: map[history.Class]int64{}}
	all := name == ""
	for i := range s.servers {
		v := &s.servers[i]
		if !all && s.services[v.service].Name != name {
			continue
		}
		t.Answered += v.main + v.root + v.failed + v.unavailable
		t.BusyS += seconds(v.busyNow(s.now))
		t.QueueS += seconds(v.queueSum)
		t.Queued += v.queueCount
	}
	for i := range s.workers {
		w := &s.workers[i]
		if !all && s.services[w.service].Name != name {
			continue
		}
		t.Hashes += w.hashes
		t.Counted += w.counted
		t.Lost += w.lost
		t.Coins += w.coins
		t.Posted += w.posted
		t.Backoffs += w.backoffs
		if w.alive {
			t.Unflushed += w.unflushed
		}
		if w.backingOff {
			t.BackingOff++
		}
		for f, n := range w.errors {
			if n > 0 {
				t.Errors[classes()[f]] += n
			}
		}
	}
	t.StoreHashes, t.StoreCoins = s.store.hashes, s.store.coins
	return t
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

func (v *server) busyNow(now int64) int64 { return v.busyDone + int64(v.busy)*now - v.busyStarted }

// Readings are the counters of every task that runs, under the names and with the meanings of package history, at the present
// instant. Tasks that are paused do not answer and are left out.
func (s *Sim) Readings() []history.Reading {
	var out []history.Reading
	for id := range s.tasks {
		t := &s.tasks[id]
		if t.state == Gone {
			continue
		}
		v := &s.services[t.service]
		var values map[string]float64
		switch {
		case v.role == stores:
			values = map[string]float64{history.RedisHashes: float64(s.store.hashes), history.RedisCoins: float64(s.store.coins)}
		case t.index < 0:
			continue
		case v.role == works:
			if s.workers[t.index].paused {
				continue
			}
			values = s.workerReading(&s.workers[t.index])
		default:
			if s.servers[t.index].paused {
				continue
			}
			values = s.serverReading(&s.servers[t.index], t)
		}
		if v.role != stores {
			values[history.ProcessCPU] = 0 // nothing here costs a processor anything
		}
		out = append(out, history.Reading{At: time.Duration(s.now), Service: v.Name, Task: t.name, Values: history.ValuesOf(values)})
	}
	return out
}

// Series with labels, as Prometheus writes them.
func requests(code int, method string) string {
	return history.Requests + `{code="` + strconv.Itoa(code) + `",method="` + method + `"}`
}

func (s *Sim) serverReading(v *server, t *task) map[string]float64 {
	concurrency := float64(t.settings.Concurrency)
	m := map[string]float64{
		history.Busy:         seconds(v.busyNow(s.now)),
		history.Concurrency:  concurrency,
		history.InFlight:     float64(v.busy),
		history.QueueLength:  float64(v.queued),
		history.QueueSum:     seconds(v.queueSum),
		history.QueueCount:   float64(v.queueCount),
		history.ServiceSum:   seconds(v.serviceSum),
		history.ServiceCount: float64(v.served),
	}
	work := settings.Method(t.settings.Service)
	for _, c := range []struct {
		code   int
		method string
		n      uint64
	}{{200, work, v.main}, {200, "GET", v.root}, {t.settings.ErrorStatus, work, v.failed}, {503, work, v.unavailable}} {
		if c.n > 0 {
			m[requests(c.code, c.method)] += float64(c.n)
		}
	}
	return m
}

func (s *Sim) workerReading(w *worker) map[string]float64 {
	m := map[string]float64{
		history.Hashes:     float64(w.hashes),
		history.Counted:    float64(w.counted),
		history.Lost:       float64(w.lost),
		history.Unflushed:  float64(w.unflushed),
		history.Coins:      float64(w.coins),
		history.Posted:     float64(w.posted),
		history.Backoffs:   float64(w.backoffs),
		history.BackingOff: 0,
		history.Silence:    time.Duration(w.silence).Seconds(),
	}
	if w.backingOff {
		m[history.BackingOff] = 1
		m[history.Silence] = time.Duration(w.silence + s.now - w.since).Seconds()
	}
	if w.hashes > 0 {
		at := s.config.Start.Add(time.Duration(w.lastHash))
		m[history.LastHash] = float64(at.UnixMicro()) / 1e6
	}
	for i, name := range settings.Stages() {
		m[history.StageSum+`{stage="`+name+`"}`] = seconds(w.stages[i])
		m[history.StageCount+`{stage="`+name+`"}`] = float64(w.times[i])
	}
	for f, n := range w.errors {
		if n > 0 {
			m[history.WorkerErrors+`{class="`+string(classes()[f])+`"}`] = float64(n)
		}
	}
	return m
}
