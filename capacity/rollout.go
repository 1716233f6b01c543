package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"coinbench/history"
	"coinbench/history/event"
)

// Disturbance is something that was done to a service's replicas, a rollout or a fault, and what those who asked the service felt.
type Disturbance struct {
	Name     string `json:"name"` // of the step
	Verb     string `json:"verb"` // update, rollback, restart, kill, pause, slow, drain
	Title    string `json:"title"`
	Service  string `json:"service"`
	Strategy string `json:"strategy,omitempty"`

	BeginS float64       `json:"begin_s"`
	EndS   float64       `json:"end_s"`           // of the last that it did to a task, or of the last request that failed before the next one
	State  event.Outcome `json:"state,omitempty"` // completed, paused, rolled_back; "" of a fault, and of a rollout that was cut off
	Reason string        `json:"reason,omitempty"`
	// Inconclusive: it was a canary, taken back because the requests of its watch said too little of it.
	Inconclusive bool `json:"inconclusive,omitempty"`

	DurationS *float64 `json:"duration_s,omitempty"` // of the rollout itself, from its begin to its end; nil: a fault
	Replicas  int      `json:"replicas"`             // in rotation when it began
	Replaced  int      `json:"replaced"`             // tasks that came into rotation
	// replicas in rotation, alive, and neither frozen nor cut off; dips of less than a millisecond are a switch
	LeastServing  int            `json:"least_serving"`
	MixedS        float64        `json:"mixed_s"`                  // time with two versions in rotation
	ExtraReplicaS float64        `json:"extra_replica_s"`          // replica-seconds beyond Replicas
	HashesLost    *float64       `json:"hashes_lost,omitempty"`    // rate before x time - hashes made; nil: no worker mined
	Back          *RollbackTimes `json:"rollback_times,omitempty"` // of one that was rolled back
	Tasks         []TaskLife     `json:"tasks"`
	Marks         []Mark         `json:"events"` // of the rollout itself
	Loads         []LoadImpact   `json:"loads"`
}

// TaskLife is when each thing happened to a task, since the run's start; nil: it did not, or it was not seen.
type TaskLife struct {
	Task      string   `json:"task"`
	Version   string   `json:"version,omitempty"`
	Image     string   `json:"image,omitempty"`
	PulledS   *float64 `json:"pulled_s,omitempty"`
	StartedS  *float64 `json:"started_s,omitempty"`
	HealthyS  *float64 `json:"healthy_s,omitempty"`
	JoinedS   *float64 `json:"joined_s,omitempty"` // in rotation from here
	LeftS     *float64 `json:"left_s,omitempty"`   // until here
	StoppingS *float64 `json:"stopping_s,omitempty"`
	KilledS   *float64 `json:"killed_s,omitempty"` // a fault that was asked for
	GoneS     *float64 `json:"gone_s,omitempty"`
	Error     string   `json:"error,omitempty"`

	events []history.Event
}

// RollbackTimes are the parts of a rollback, since the run's start; nil: it was not seen.
type RollbackTimes struct {
	FirstBadS  *float64 `json:"first_bad_answer_s,omitempty"`
	DetectedS  *float64 `json:"detected_s,omitempty"`  // the first new task that failed, or the verdict on a canary
	TriggeredS *float64 `json:"triggered_s,omitempty"` // the rollback began
	LastBadS   *float64 `json:"last_bad_answer_s,omitempty"`
	AllOldS    *float64 `json:"all_old_s,omitempty"`
}

// within says whether an instant lies in a life's part; nil ends are open.
func within(at float64, from, to *float64) bool {
	return from != nil && *from <= at && (to == nil || at < *to)
}

// Serving says whether the task answers at an instant: in rotation, alive, and neither frozen nor cut off.
func (t *TaskLife) Serving(at float64) bool {
	return within(at, t.JoinedS, t.LeftS) && (t.KilledS == nil || at < *t.KilledS) && (t.GoneS == nil || at < *t.GoneS) && !t.mute(at)
}

// mute says whether the task is frozen or cut off.
func (t *TaskLife) mute(at float64) (mute bool) {
	for _, e := range t.events {
		if e.At.Seconds() > at {
			break
		}
		switch e.Payload.(type) {
		case event.TaskPaused, event.TaskCut:
			mute = true
		case event.TaskRecovered:
			mute = false
		}
	}
	return mute
}

func (t *TaskLife) replica() string {
	name, _, _ := strings.Cut(t.Task, "#")
	return name
}

// Lives are the tasks of every service, in the order in which they appeared: what is known of them from any first part of a run's events.
type Lives struct {
	services map[string][]*TaskLife
	known    map[string]*TaskLife
}

// Of are a service's tasks.
func (l *Lives) Of(service string) []*TaskLife { return l.services[service] }

// Add adds the next event.
func (l *Lives) Add(e history.Event) {
	if e.Task == "" || e.Is(event.ConnectionFailed{}) {
		return
	}
	if l.known == nil {
		l.services, l.known = map[string][]*TaskLife{}, map[string]*TaskLife{}
	}
	t := l.known[e.Task]
	if t == nil {
		t = &TaskLife{Task: e.Task}
		l.known[e.Task] = t
		l.services[e.Service] = append(l.services[e.Service], t)
	}
	at := ptr(e.At.Seconds())
	t.events = append(t.events, e)
	switch p := e.Payload.(type) {
	case event.TaskPulled:
		t.PulledS = at
	case event.TaskStarted:
		t.StartedS, t.Version, t.Image = at, p.Version, p.Image
	case event.TaskHealthy:
		t.HealthyS = at
	case event.TaskJoined:
		if t.JoinedS == nil {
			t.JoinedS = at
		}
		t.LeftS = nil
	case event.TaskLeft:
		t.LeftS = at
	case event.TaskStopping:
		t.StoppingS = at
	case event.TaskKilled:
		t.KilledS = at
	case event.TaskGone:
		t.GoneS = at
		t.Error = cmp.Or(t.Error, p.Error)
	case event.TaskUnhealthy:
		t.Error = p.Error
	}
}

// lives are those of a run.
func lives(run *history.Run) *Lives {
	l := &Lives{}
	for _, e := range run.Events {
		l.Add(e)
	}
	return l
}

// rollouts finds what was done to services, and what was felt of it.
func rollouts(run *history.Run, t Timeline) []Disturbance {
	all := lives(run)
	var found []Disturbance
	for i, e := range run.Events {
		p, ok := e.Payload.(event.StepBegin)
		if !ok || p.Disturbance == "" {
			continue
		}
		r := Disturbance{Name: p.Disturbance, Verb: p.Verb, Title: p.Title, Service: e.Service, BeginS: e.At.Seconds(), EndS: e.At.Seconds()}
		r.read(run.Events[i+1:])
		found = append(found, r)
	}
	for i := range found {
		r := &found[i]
		next := run.End.Seconds()
		for _, later := range found[i+1:] {
			if later.Service == r.Service {
				next = later.BeginS
				break
			}
		}
		before := 0.0
		for _, earlier := range found[:i] {
			if earlier.Service == r.Service {
				before = earlier.EndS
			}
		}
		for _, t := range all.Of(r.Service) {
			if t.mute(r.EndS) && within(r.EndS, t.JoinedS, t.GoneS) { // it lasts for as long as a replica is frozen or cut off
				r.EndS = min(next, takenDown(run, r.BeginS))
			}
		}
		r.observe(all.Of(r.Service))
		r.felt(run, all.Of(r.Service), before, next)
		r.mined(t)
		if r.State == event.RolledBack {
			r.back()
		}
	}
	return found
}

// takenDown is when the app began to be taken down, of a run that did something to it at an instant before.
func takenDown(run *history.Run, after float64) float64 {
	for _, e := range run.Events {
		if at := e.At.Seconds(); e.Step == 0 && e.Task != "" && at > after {
			return at
		}
	}
	return run.End.Seconds()
}

// read takes from the events after the step's begin what the rollout said of itself.
func (r *Disturbance) read(events []history.Event) {
	begun := -1.0
	judged := false
	over := false // the step has ended: what follows are the events of tasks
	for _, e := range events {
		at := e.At.Seconds()
		if e.Is(event.StepEnd{}) && !over {
			over, r.EndS = true, max(r.EndS, at)
		}
		if begin, ok := e.Payload.(event.StepBegin); ok && begin.Disturbance != "" && e.Service == r.Service || e.Step == 0 {
			break // the next one, or the end of the app
		}
		if e.Service != r.Service {
			continue
		}
		mark := func(text string) { r.Marks = append(r.Marks, newMark(e, text)) }
		switch p := e.Payload.(type) {
		case event.RolloutBegin:
			if begun < 0 {
				begun, r.Strategy = at, p.Strategy
			}
			text := "begins"
			if p.Rollback {
				text = "back"
				if r.Verb == "update" {
					r.State = event.RolledBack // whatever is said of it later
				}
			}
			mark(text)
		case event.RolloutSwitch:
			mark("switch to " + p.To)
		case event.RolloutJudged:
			judged = true
			mark("canary " + string(p.Verdict))
			r.Reason = p.Reason
			r.Strategy, r.Inconclusive = "canary", p.Verdict == event.CanaryUnknown
			if p.Verdict != event.CanaryOn {
				r.State = event.RolledBack
			}
		case event.RolloutEnd:
			if r.State != event.RolledBack {
				r.State = p.Outcome
			}
			if p.Reason != "" && !judged {
				r.Reason = p.Reason
			}
			if begun >= 0 {
				r.DurationS = ptr(at - begun)
			}
			mark(string(p.Outcome))
		}
		if e.Payload.Kind().OfReplicas() {
			r.EndS = max(r.EndS, at)
		}
	}
}

// observe computes what the tasks did.
func (r *Disturbance) observe(tasks []*TaskLife) {
	edges := []float64{r.BeginS, r.EndS}
	for _, t := range tasks {
		touched := false
		for _, e := range t.events {
			if at := e.At.Seconds(); at > r.BeginS && at <= r.EndS {
				edges = append(edges, at)
				touched = true
			}
		}
		if touched {
			r.Tasks = append(r.Tasks, *t)
		}
		if t.Serving(r.BeginS - 1e-6) { // just before
			r.Replicas++
		}
		if within(r.EndS, t.JoinedS, nil) && *t.JoinedS > r.BeginS {
			r.Replaced++
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	r.LeastServing = r.Replicas
	for i := 0; i+1 < len(edges); i++ {
		from, to := edges[i], edges[i+1]
		middle := (from + to) / 2
		serving, alive := 0, 0
		versions := map[string]bool{}
		for _, t := range tasks {
			if t.Serving(middle) {
				serving++
				versions[t.Version] = true
			}
			if within(middle, t.StartedS, t.GoneS) {
				alive++
			}
		}
		if to-from >= 1e-3 {
			r.LeastServing = min(r.LeastServing, serving)
			if len(versions) > 1 {
				r.MixedS += to - from
			}
		}
		r.ExtraReplicaS += float64(max(0, alive-r.Replicas)) * (to - from)
	}
}

// mined computes what the workers lost against their rate in the ten seconds before.
func (r *Disturbance) mined(t Timeline) {
	before, n, lost, bins := 0.0, 0, 0.0, 0
	for _, p := range t.Rate {
		if p.AtS < r.BeginS-t.BinS/2 && p.AtS >= r.BeginS-10 {
			before, n = before+p.Value, n+1
		}
	}
	if n < 3 || before == 0 {
		return
	}
	before /= float64(n)
	for _, p := range t.Rate {
		if p.AtS > r.BeginS-t.BinS/2 && p.AtS < r.EndS+t.BinS/2 {
			lost, bins = lost+(before-p.Value)*t.BinS, bins+1
		}
	}
	if bins > 0 {
		r.HashesLost = ptr(lost)
	}
}

// back finds the parts of a rollback.
func (r *Disturbance) back() {
	b := &RollbackTimes{}
	least := func(p **float64, at float64) {
		if *p == nil || at < **p {
			*p = ptr(at)
		}
	}
	for _, l := range r.Loads {
		for _, f := range l.Failures {
			least(&b.FirstBadS, f.FirstS)
			if b.LastBadS == nil || f.LastS > *b.LastBadS {
				b.LastBadS = ptr(f.LastS)
			}
		}
	}
	for _, t := range r.Tasks {
		for _, e := range t.events {
			gone, _ := e.Payload.(event.TaskGone)
			if at := e.At.Seconds(); at > r.BeginS && (gone.Error != "" || e.Is(event.TaskUnhealthy{})) {
				least(&b.DetectedS, at)
			}
		}
	}
	for _, m := range r.Marks {
		switch p := m.Payload.(type) {
		case event.RolloutJudged:
			if p.Verdict != event.CanaryOn {
				least(&b.DetectedS, m.AtS)
			}
		case event.RolloutBegin:
			if p.Rollback {
				least(&b.TriggeredS, m.AtS)
			}
		case event.RolloutSwitch:
			if p.To == event.Blue {
				least(&b.TriggeredS, m.AtS)
			}
		case event.RolloutEnd:
			b.AllOldS = ptr(m.AtS)
		}
	}
	r.Back = b
}

// fewestPerTask is how many requests for every replaced task a rollout must have met to be judged by them.
const fewestPerTask = 50

// covered says why the requests say too little of a rollout; "": they say enough, or there is nothing to say it of.
func (r *Disturbance) covered() string {
	if r.Replaced == 0 {
		return ""
	}
	for _, l := range r.Loads {
		if l.Observer {
			continue
		}
		if per := float64(l.Requests) / float64(r.Replaced); per < fewestPerTask {
			return fmt.Sprintf("rollout %s: the load %s made %d requests while %s replaced, %.0f for each; fewer than %d say little: raise the "+
				"rate, or mark a load that is not meant to judge it as observe_only",
				r.Name, l.Load, l.Requests, count(r.Replaced, "task")+isAre(r.Replaced), per, fewestPerTask)
		}
	}
	return ""
}

func isAre(n int) string {
	if n == 1 {
		return " was"
	}
	return " were"
}

// Disturbance returns the named one, or nil.
func (a *Analysis) Disturbance(name string) *Disturbance {
	for i := len(a.Rollouts) - 1; i >= 0; i-- {
		if a.Rollouts[i].Name == name {
			return &a.Rollouts[i]
		}
	}
	return nil
}

func (a *Analysis) rollout(name string) (*Disturbance, error) {
	if r := a.Disturbance(name); r != nil {
		return r, nil
	}
	var names []string
	for _, r := range a.Rollouts {
		names = append(names, r.Name)
	}
	return nil, fmt.Errorf("the run has no rollout %q%s", name, known("; its rollouts are ", names))
}

// expected are the verdicts on rollouts of which no objective speaks: one that did not complete is a failure.
func expected(a *Analysis, objectives []Objective) (verdicts []Verdict) {
	for _, r := range a.Rollouts {
		if r.State == "" || r.State == event.Completed || slices.ContainsFunc(objectives, func(o Objective) bool {
			return o.Metric == "rollout" && slices.Equal(o.Args, []string{r.Name})
		}) {
			continue
		}
		reason := "it was " + r.State.Words()
		if first, _, _ := strings.Cut(r.Reason, "\n"); first != "" {
			reason += ": " + strings.TrimSuffix(first, "; its last lines:")
		}
		result := Fail
		if r.Inconclusive {
			result = Unknown
		}
		verdicts = append(verdicts, Verdict{Objective: "rollout(" + r.Name + ") == completed", Result: result, Word: string(r.State),
			Reason: reason})
	}
	return verdicts
}
