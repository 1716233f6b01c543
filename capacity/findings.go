package capacity

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/stat"

	"coinbench/history"
	"coinbench/history/event"
)

func (e explainer) hostCPU(w *Window) *finding {
	f := hostFinding(w.Host)
	if f == nil {
		return nil
	}
	if w.Loop != nil && w.Backoffs == 0 {
		for _, s := range w.Loop.Stages {
			if late := s.PerLoopS - w.Config.ThinkS; s.Name == stageThink && late > .002 {
				f.evidence = append(f.evidence, fmt.Sprintf("a %s's think time of %s took %s: it was ready and had to wait for a "+
					"processor", w.Config.roles.Driver.Service, setting(w.Config.ThinkS), FormatSeconds(s.PerLoopS)))
			}
		}
	}
	return f
}

func hostFinding(u *HostUse) *finding {
	if u == nil {
		return nil
	}
	waits := u.Pressure == nil || *u.Pressure > mostPressure
	if u.Late != nil {
		waits = *u.Late > mostLate
	}
	if u.Busy < mostBusy || !waits {
		if u.disturbed() == "" {
			return nil
		}
	}
	f := &finding{cause: CauseHost}
	if u.Late != nil {
		f.evidence = append(f.evidence, fmt.Sprintf("the app's delays lasted %s longer than they were to", percent(*u.Late)))
	}
	if u.Pressure != nil {
		f.evidence = append(f.evidence, fmt.Sprintf("processes waited for a processor in %s of the time", percent(*u.Pressure)))
	}
	f.evidence = append(f.evidence, fmt.Sprintf("the processors were busy %s of the time, %s of it with the app and coinbench",
		percent(u.Busy), percent(u.Own/max(u.Busy, 1e-9))))
	if u.Busy-u.Own >= mostForeign {
		f.try = "Stop what else runs on this machine, or use a quieter one, and measure again: these numbers are the machine's."
	} else {
		f.try = "Use a machine with more processors, or fewer replicas: the app itself fills this one."
	}
	return f
}

// backoff: the workers' silence is measured, whether the window saw what made it or lies within it.
func (e explainer) backoff(w *Window) *finding {
	if w.workerS <= 0 {
		return nil
	}
	silent := min(1, w.SilentS/w.workerS)
	if silent < mostSilent {
		return nil
	}
	driver := w.Config.roles.Driver
	f := &finding{cause: CauseBackoff, evidence: []string{fmt.Sprintf("the %s were silent after errors for %s of their time: %.0f of "+
		"%.0f %s-seconds", driver.Plural, percent(silent), w.SilentS, w.workerS, driver.Service)}}
	if w.Backoffs > 0 {
		f.evidence = append(f.evidence, fmt.Sprintf("%s a %s went silent for %s", times(w.Backoffs), driver.Service, setting(w.Config.BackoffS)))
	} else {
		f.evidence = append(f.evidence, "what made them silent happened before the window began")
	}
	if w.HashesLost != nil && *w.HashesLost > 0 {
		f.evidence = append(f.evidence, fmt.Sprintf("%.0f %s are missing against window %s", *w.HashesLost, w.Config.roles.Unit.Many, w.Baseline))
	}
	if text := classes(w.ByClass); text != "" {
		f.evidence = append(f.evidence, "the errors were: "+text)
	}
	if task, text := e.trouble(w); text != "" {
		f.task = task
		f.evidence = append(f.evidence, text)
	}
	f.try = fmt.Sprintf("Shorten the back-off (COIN_BACKOFF, now %s), or take a dead replica out of rotation sooner: the outage itself is "+
		"the smaller part.", setting(w.Config.BackoffS))
	return f
}

func classes(by map[string]float64) string {
	var parts []string
	for class, n := range by {
		parts = append(parts, fmt.Sprintf("%.0f %s", n, class))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// trouble is the last fault of a replica of a station that began before the window's end and was not over before its begin.
func (e explainer) trouble(w *Window) (task, text string) {
	open := map[string]string{}
	var order []string
	for _, ev := range e.run.Events {
		if _, visited := e.s.roles.Station(ev.Service); !visited || ev.At.Seconds() > w.EndS {
			continue
		}
		within := ev.At.Seconds() >= w.BeginS
		note := func(s string) {
			if open[ev.Task] == "" {
				order = append(order, ev.Task)
			}
			open[ev.Task] = s
		}
		switch p := ev.Payload.(type) {
		case event.TaskKilled:
			note(fmt.Sprintf("%s was killed at %.1f s", ev.Task, ev.At.Seconds()))
		case event.TaskPaused:
			note(fmt.Sprintf("%s was paused at %.1f s", ev.Task, ev.At.Seconds()))
		case event.TaskCut:
			note(fmt.Sprintf("%s was cut off at %.1f s", ev.Task, ev.At.Seconds()))
		case event.TaskSlowed:
			note(fmt.Sprintf("connections to %s were slowed by %s from %.1f s on", ev.Task, p.Delay, ev.At.Seconds()))
		case event.TaskUnhealthy:
			note(fmt.Sprintf("%s failed its health check at %.1f s%s", ev.Task, ev.At.Seconds(), after(": ", p.Error)))
		case event.TaskGone:
			if p.Error != "" && open[ev.Task] == "" { // of what was done to it
				note(fmt.Sprintf("%s ended at %.1f s: %s", ev.Task, ev.At.Seconds(), p.Error))
			}
		case event.TaskRecovered, event.TaskJoined, event.TaskHealthy:
			slot, _, _ := strings.Cut(ev.Task, "#")
			for t := range open { // the task itself, or its successor in the slot
				if s, _, _ := strings.Cut(t, "#"); s == slot && !within {
					delete(open, t)
				}
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		if text := open[order[i]]; text != "" {
			return order[i], text
		}
	}
	return "", ""
}

func after(lead, s string) string {
	if s == "" {
		return ""
	}
	return lead + s
}

// queueLimit: connections that the server does not take wait where it does not see them, or fail.
func (e explainer) queueLimit(w *Window) *finding {
	for _, u := range w.Services {
		limit, full, longest := e.queue(u.Service, w)
		rejected := w.ByClass[string(history.ConnectTimeout)]
		outside := u.WaitS != nil && u.QueueS != nil && *u.WaitS > *u.QueueS*mostOutside+.05
		if full == 0 || rejected == 0 && !outside {
			continue
		}
		f := &finding{cause: CauseQueueLimit}
		f.evidence = append(f.evidence, fmt.Sprintf("the queue of %s was full (%.0f of %d) in %s of the readings", u.Service, longest, limit,
			percent(full)))
		if outside {
			f.evidence = append(f.evidence, fmt.Sprintf("a %s waits %s for it in each loop, and only %s of that in the queue: its "+
				"connections are turned away and tried again after 1, 2, 4 s",
				w.Config.roles.Driver.Service, FormatSeconds(*u.WaitS), FormatSeconds(*u.QueueS)))
		}
		if u.Utilisation != nil {
			f.evidence = append(f.evidence, fmt.Sprintf("%s is busy %s of the time", u.Service, percent(*u.Utilisation)))
		}
		if rejected > 0 {
			f.evidence = append(f.evidence, fmt.Sprintf("%.0f connections were given up", rejected))
		}
		f.try = fmt.Sprintf("Raise the limit (COIN_QUEUE_LIMIT of %s, now %d) above the number of clients, or scale %s.", u.Service, limit,
			u.Service)
		return f
	}
	return nil
}

// queue is the limit of a replica's queue, the share of the readings in which one was full, and the longest queue.
func (e explainer) queue(service string, w *Window) (limit int, full, longest float64) {
	limit = w.Config.Told(service).QueueLimit
	n, at := 0, 0
	for _, t := range e.s.of(service) {
		sp, ok := t.between(duration(w.BeginS), duration(w.EndS))
		if !ok {
			continue
		}
		for _, r := range sp.inner {
			q := r.Values.Of(history.QueueLength)
			longest = max(longest, q)
			n++
			if limit > 0 && q >= float64(limit) {
				at++
			}
		}
	}
	if n > 0 {
		full = float64(at) / float64(n)
	}
	return limit, full, longest
}

// replicaUse is how one replica was used within a window.
type replicaUse struct {
	task                   string
	slot                   int
	service, requests, bad float64
	queue                  float64 // mean wait for a slot, in seconds
}

// replicasOf are a service's replicas that answered when they were asked for their counters, in the order of their slots.
func (e explainer) replicasOf(w *Window, service string) []replicaUse {
	var all []replicaUse
	for _, t := range e.s.of(service) {
		sp, ok := t.between(duration(w.BeginS), duration(w.EndS))
		if !ok {
			continue
		}
		slot, _ := slotOf(t.name)
		r := replicaUse{task: t.name, slot: slot, requests: sp.delta(history.Requests)}
		if n := sp.delta(history.ServiceCount); n > 0 {
			r.service = sp.delta(history.ServiceSum) / n
		}
		if n := sp.delta(history.QueueCount); n > 0 {
			r.queue = sp.delta(history.QueueSum) / n
		}
		for code, v := range byLabel(sp.last.Values, history.Requests, "code") {
			if code >= "400" {
				r.bad += v - byLabel(sp.first.Values, history.Requests, "code")[code]
			}
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b replicaUse) int { return a.slot - b.slot })
	return all
}

// slotOf is the slot in a task's name: 3 of rng.3#2.
func slotOf(task string) (int, bool) {
	name, _, _ := strings.Cut(task, "#")
	slot, err := strconv.Atoi(name[strings.LastIndex(name, ".")+1:])
	return slot, err == nil
}

// replica: one replica of several is not like the others, by the counters or by what the load generator met at each. What the scenario did
// to it is evidence next to it, and none without an effect.
func (e explainer) replica(w *Window) *finding {
	var sick *finding
	for _, u := range w.Services {
		if u.Replicas < 2 {
			continue
		}
		told := w.Config.told[u.Service]
		all := e.replicasOf(w, u.Service)
		for i, r := range all {
			var others []float64
			bad, asked := 0.0, 0.0
			for j, o := range all {
				if j != i && o.requests > 0 {
					others = append(others, o.service)
					bad += o.bad
					asked += o.requests
				}
			}
			if len(others) == 0 || r.requests == 0 {
				continue
			}
			slices.Sort(others)
			typical := others[len(others)/2]
			switch {
			case typical > 0 && r.service > 1.1*typical && differs(r.service, typical, r.requests, told):
				sick = &finding{task: r.task, evidence: []string{fmt.Sprintf("%s takes %s for a request, the others %s", r.task,
					FormatSeconds(r.service), FormatSeconds(typical))}}
			case r.bad > mostErrors*r.requests && bad <= .2*mostErrors*asked:
				sick = &finding{task: r.task, evidence: []string{fmt.Sprintf("%s answered %s of its requests with an error, the others %s", r.task,
					percent(r.bad/r.requests), percent(bad/max(1, asked)))}}
			}
		}
		if sick == nil {
			sick = e.slowWay(w, u, all)
		}
		if sick == nil && len(all) < u.Replicas && !w.Config.Updating {
			sick = &finding{evidence: []string{fmt.Sprintf("%d of the %d replicas of %s answered when they were asked for their counters", len(all),
				u.Replicas, u.Service)}}
		}
	}
	task, text := e.trouble(w)
	switch {
	case sick == nil && (text == "" || w.Errors == 0 && w.Backoffs == 0):
		return nil
	case sick == nil:
		sick = &finding{task: task, evidence: []string{fmt.Sprintf("%.0f of the %s' calls failed: %s", w.Errors,
			w.Config.roles.Driver.Plural, classes(w.ByClass)), text}}
	case text != "" && (sick.task == "" || sick.task == task):
		sick.task = task
		sick.evidence = append(sick.evidence, text)
	}
	// Without an effect it is not the limit.
	if c := w.Configured; c != nil && w.HashRate != nil && w.HashRate.Value >= .97*c.UpperPerS {
		return nil
	}
	if w.Configured != nil && w.HashRate != nil {
		sick.evidence = append(sick.evidence, fmt.Sprintf("%s were made; with every replica well the settings allow %s",
			perSecond(w.HashRate.Value), perSecond(w.Configured.UpperPerS)))
	}
	sick.cause = CauseReplica
	sick.try = "Take the replica out of rotation and start another"
	if sick.task != "" {
		sick.try = fmt.Sprintf("Take %s out of rotation and start another", sick.task)
	}
	sick.try += ": a health check that sees what its clients see would have done it."
	return sick
}

// slowWay: what the generator's requests took to be answered by one replica besides its queue, and not by the others; or a way to this
// service that takes its workers far longer than that to the other.
func (e explainer) slowWay(w *Window, u ServiceUse, replicas []replicaUse) *finding {
	const slow = .05 // seconds; and half of the answer
	by := map[string][]float64{}
	for _, l := range e.run.Loads {
		if l.Service != u.Service {
			continue
		}
		for _, s := range l.Samples {
			if at := s.Done.Seconds(); s.Class == history.OK && s.Replica != "" && at > w.BeginS && at <= w.EndS {
				task := e.taskOf(u.Service, s.Replica)
				by[task] = append(by[task], (s.Done - s.Sent).Seconds())
			}
		}
	}
	ways, errors := map[string]float64{}, map[string]float64{}
	for _, r := range replicas {
		if v := by[r.task]; len(v) >= 10 {
			mean, sd := stat.MeanStdDev(v, nil)
			ways[r.task], errors[r.task] = mean-r.queue, sd/math.Sqrt(float64(len(v)))
		}
	}
	for _, r := range replicas {
		way, met := ways[r.task]
		most, others := 0.0, 0
		for task, v := range ways {
			if task != r.task {
				most, others = max(most, v), others+1
			}
		}
		if met && others > 0 && way > most+max(slow, 4*errors[r.task]) && way > .5*(way+r.queue) {
			return &finding{task: r.task, evidence: []string{fmt.Sprintf("a visitor's way to %s and back takes %s besides its queue, to the "+
				"others at most %s", r.task, FormatSeconds(way), FormatSeconds(max(0, most)))}}
		}
	}
	d := w.decompose()
	for name, c := range d.calls {
		if name == u.Service && c.network > d.network+.01 && c.network > 3*d.network && c.network > mostWait*d.total {
			task, _ := e.trouble(w)
			return &finding{task: task, evidence: []string{fmt.Sprintf("the way to %s and back takes a %s %s in the mean, that to the other "+
				"service %s", name, d.roles.Driver.Service, FormatSeconds(c.network), FormatSeconds(d.network))}}
		}
	}
	return nil
}

// taskOf is the task whose replica signed an answer, or the signature.
func (e explainer) taskOf(service, replica string) string {
	for _, t := range e.s.of(service) {
		if t.name == replica || strings.HasPrefix(t.name, replica+"#") {
			return t.name
		}
	}
	return replica
}

func (e explainer) pinned(w *Window) *finding {
	if !w.Config.KeepAlive {
		return nil
	}
	for _, u := range w.Services {
		if u.Hottest == nil || u.Utilisation == nil || u.Replicas < 2 || u.replaced || *u.Hottest-*u.Utilisation < unspread ||
			*u.Hottest < saturated {
			continue
		}
		f := &finding{cause: CausePinned, task: u.HottestTask, evidence: []string{
			fmt.Sprintf("%s is busy %s of the time while %s as a whole is busy %s", u.HottestTask, percent(*u.Hottest), u.Service,
				percent(*u.Utilisation)),
			"the " + w.Config.roles.Driver.Plural + " keep their connections, and a balancer spreads connections, not requests"}}
		if idle := e.idle(w, u.Service); idle > 0 {
			f.evidence = append(f.evidence, fmt.Sprintf("%d of %d replicas had no request at all", idle, u.Replicas))
		}
		f.try = "Open a new connection for each call (COIN_KEEP_ALIVE=false), or limit the age of connections, so that the balancer can " +
			"spread them."
		return f
	}
	return nil
}

// idle is the number of a service's replicas that had no request.
func (e explainer) idle(w *Window, service string) int {
	n := 0
	for _, r := range e.replicasOf(w, service) {
		if r.requests == 0 {
			n++
		}
	}
	return n
}
