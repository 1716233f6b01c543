package capacity

import (
	"math"
	"net/url"

	"coinbench/history"
)

// decomposition is where an average loop of a worker spent its time, in seconds.
type decomposition struct {
	roles           history.Roles
	total           float64
	think, overhead float64
	store           float64
	network         float64 // of each connection: what the calls of all stations have in common
	silent          float64 // after errors
	calls           map[string]callTime
}

// callTime is a worker's call of one service, in seconds.
type callTime struct {
	own     float64 // in service, and being taken in
	queue   float64 // for a slot
	network float64 // connection and transfer
}

// decompose cuts the loop into the worker's own time, the services' own time for it, and its waits. The workers time their stages; of a
// call the service time is the service's own word, and so is the time in its queue. What is left is the way between the two. Where others
// ask the service, too, the queue that it reports is not only the workers': then the way is that to the other service.
func (w *Window) decompose() decomposition {
	d := decomposition{roles: w.Config.roles, calls: map[string]callTime{}}
	if w.Loop == nil || w.Hashes == 0 {
		if w.SilentS > 0 {
			d.silent, d.total = w.SilentS, w.workerS
		}
		return d
	}
	// The stages fill the time in which the workers were not silent.
	d.total = w.Loop.TotalS
	scale := 1.0
	if w.SilentS > 0 && w.workerS > 0 {
		d.silent = d.total * min(1, w.SilentS/w.workerS)
		staged := 0.0
		for _, s := range w.Loop.Stages {
			staged += s.PerLoopS
		}
		if staged > 0 {
			scale = (d.total - d.silent) / staged
		}
	}
	ways := math.Inf(1)
	for _, s := range w.Loop.Stages {
		v := s.PerLoopS * scale
		_, visit := d.roles.Station(s.Name)
		switch {
		case s.Name == stageThink:
			d.think = v
		case s.Name == d.roles.Store.Service:
			d.store = v
		case visit:
			u := w.Service(s.Name)
			if u == nil || u.DemandS == nil {
				d.calls[s.Name] = callTime{own: v}
				continue
			}
			in := intake(w.Config.told[s.Name])
			c := callTime{own: min(v, *u.DemandS+in)}
			rest := v - c.own
			if u.QueueS != nil && u.Foreign == 0 && in == 0 {
				c.network = max(0, rest-*u.QueueS)
				ways = min(ways, c.network)
			}
			c.queue = max(0, rest-c.network)
			d.calls[s.Name] = c
		default:
			d.overhead += v
		}
	}
	if math.IsInf(ways, 1) {
		return d
	}
	d.network = ways
	for name, c := range d.calls {
		if u := w.Service(name); u != nil && c.network == 0 && (u.Foreign > 0 || intake(w.Config.told[name]) > 0) {
			c.network = min(ways, c.queue)
			c.queue -= c.network
			d.calls[name] = c
		}
	}
	return d
}

// shares are the parts of the loop, 0 to 1; they add up to 1. Each call has three: the service's name is its service, with
// .queue behind it the wait for a slot, with .network connection and transfer.
func (d decomposition) shares() map[string]float64 {
	all := map[string]float64{}
	if d.total <= 0 {
		return all
	}
	add := func(name string, seconds float64) {
		if share := seconds / d.total; share > 1e-4 {
			all[name] = share
		}
	}
	add("think", d.think)
	add("overhead", d.overhead)
	add(d.roles.Store.Service, d.store)
	add("back-off", d.silent)
	rest := d.total - d.think - d.overhead - d.store - d.silent
	for _, r := range d.roles.Stations {
		name, c := r.Service, d.calls[r.Service]
		add(name, c.own)
		add(name+".queue", c.queue)
		add(name+".network", c.network)
		rest -= c.own + c.queue + c.network
	}
	add("other", rest)
	return all
}

// visits are the requests of the generator's loads that a service answered within a window.
type visits struct{ work, root float64 }

func (v visits) all() float64 { return v.work + v.root }

func visitorsOf(run *history.Run, beginS, endS float64) map[string]visits {
	all := map[string]visits{}
	for _, l := range run.Loads {
		n := answeredIn(l, beginS, endS)
		v := all[l.Service]
		if isRoot(l.LoadSpec) {
			v.root += n
		} else {
			v.work += n
		}
		all[l.Service] = v
	}
	return all
}

// isRoot says whether a load asks GET /, for which stations do no work.
func isRoot(l history.LoadSpec) bool {
	if l.Method != "GET" {
		return false
	}
	u, err := url.Parse(l.URL)
	return err == nil && (u.Path == "" || u.Path == "/")
}

// answeredIn is how many requests of a load were answered between two instants: by its samples where they hold all, else by its intervals.
func answeredIn(l history.Load, beginS, endS float64) float64 {
	n := 0.0
	if l.Closing != nil && int64(len(l.Samples)) == l.Closing.Due {
		for _, s := range l.Samples {
			if at := s.Done.Seconds(); s.Status > 0 && at > beginS && at <= endS {
				n++
			}
		}
		return n
	}
	for _, i := range l.Intervals {
		begin, end := i.At.Seconds(), (i.At + i.Length).Seconds()
		if inside := min(end, endS) - max(begin, beginS); inside > 0 && end > begin {
			answered := 0.0
			for _, k := range i.Replicas {
				answered += float64(k)
			}
			n += max(answered, float64(i.OK)) * inside / (end - begin)
		}
	}
	return n
}
