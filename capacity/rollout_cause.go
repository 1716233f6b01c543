package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/visible"
)

// FailureGroup are failed requests with one cause: their class, the task that they reached, and the last that had happened to it.
type FailureGroup struct {
	Class   history.Class `json:"class"`
	Status  int           `json:"status,omitempty"`
	Task    string        `json:"task,omitempty"` // "": none was there, or it is not known
	Version string        `json:"version,omitempty"`
	Event   event.Kind    `json:"event,omitempty"` // the last before the failure
	// the task is concluded from what happened then; neither an answer nor the balancer named it
	Inferred bool    `json:"inferred"`
	Count    int64   `json:"count"`
	FirstS   float64 `json:"first_s"` // the failures, since the run's start
	LastS    float64 `json:"last_s"`
	FromS    float64 `json:"after_event_from_s"` // since the event
	ToS      float64 `json:"after_event_to_s"`
	Text     string  `json:"description"`
}

// FailureCause is to what one failed request is attributed.
type FailureCause struct {
	Task     string // "": none was there, or it is not known
	Version  string
	Event    event.Kind // the last that had happened to the task, or, without one, to the service; "": nothing
	EventAt  time.Duration
	At       time.Duration // of the failure
	Inferred bool
	Nobody   bool // the balancer had no replica
}

// attributor attributes failed requests of one service to tasks.
//
// Three witnesses are heard, the best first: the answer, whose header names the replica; the balancer, which writes down each
// connection that it could not bring to an end; and the tasks' lives, of which the one is chosen that was in rotation and in trouble.
type attributor struct {
	tasks   []*TaskLife
	service []history.Event // of the service or of its tasks
	broken  []history.Event // connections that the balancer saw fail
	used    []bool
}

func newAttributor(run *history.Run, service string, tasks []*TaskLife) *attributor {
	b := &attributor{tasks: tasks}
	for _, e := range run.Events {
		switch {
		case e.Service != service:
		case e.Is(event.ConnectionFailed{}):
			b.broken = append(b.broken, e)
		case e.Payload.Kind().OfReplicas():
			b.service = append(b.service, e)
		}
	}
	b.used = make([]bool, len(b.broken))
	return b
}

// instant is when a request failed: a time-out began to fail when it was sent.
func instant(s history.Sample) time.Duration {
	switch s.Class {
	case history.Dropped:
		return s.Due
	case history.ConnectTimeout, history.HeaderTimeout, history.BodyTimeout, history.NoAnswer:
		return s.Sent
	}
	return s.Done
}

// late is how long after the client the balancer may write a failure down.
const late = 50 * time.Millisecond

// put puts one failed request down. Requests must come in the order in which they were done.
func (b *attributor) put(s history.Sample) FailureCause {
	r := FailureCause{At: instant(s), Version: s.Version}
	var t *TaskLife
	switch {
	case s.Class == history.Dropped:
	case s.Replica != "":
		t = b.answered(s)
	default:
		if e := b.witnessed(s); e != nil {
			t = b.task(e.Task)
		} else if r.Nobody = b.vacant(s); !r.Nobody {
			t = b.suspect(s)
			r.Inferred = t != nil
		}
	}
	events := b.service
	if t != nil {
		r.Task, events = t.Task, t.events
		if r.Version == "" {
			r.Version = t.Version
		}
	}
	for _, e := range events {
		if e.At > r.At {
			break
		}
		r.Event, r.EventAt = e.Payload.Kind(), e.At
	}
	return r
}

// vacant says whether no replica was in rotation all the time that the request was under way.
func (b *attributor) vacant(s history.Sample) bool {
	sent, done := s.Sent.Seconds(), s.Done.Seconds()
	for _, t := range b.tasks {
		if t.JoinedS != nil && *t.JoinedS <= done && (t.LeftS == nil || *t.LeftS >= sent) {
			return false
		}
	}
	return len(b.tasks) > 0
}

func (b *attributor) task(name string) *TaskLife {
	for _, t := range b.tasks {
		if t.Task == name && name != "" {
			return t
		}
	}
	return nil
}

// answered is the task that an answer names: of the slot's tasks that lived then the one of its version, else the latest.
func (b *attributor) answered(s history.Sample) (found *TaskLife) {
	for _, t := range b.tasks {
		if t.replica() != s.Replica && t.Task != s.Replica || t.StartedS == nil || *t.StartedS > s.Done.Seconds() || t.GoneS != nil &&
			*t.GoneS < s.Sent.Seconds() {
			continue
		}
		if found == nil || t.Version == s.Version || found.Version != s.Version {
			found = t
		}
	}
	return found
}

// witnessed is the connection that the balancer saw fail while the request was under way, which is used up by it.
func (b *attributor) witnessed(s history.Sample) *history.Event {
	i := sort.Search(len(b.broken), func(i int) bool { return b.broken[i].At >= s.Sent })
	for ; i < len(b.broken) && b.broken[i].At <= s.Done+late; i++ {
		if !b.used[i] {
			b.used[i] = true
			return &b.broken[i]
		}
	}
	return nil
}

// suspect is the task that was in trouble: one in rotation that is dead, frozen or slow before all others, else the one to which
// something happened last. A connection that could not be made was meant for a task in rotation; one that broke may belong to a task
// that had left.
func (b *attributor) suspect(s history.Sample) (found *TaskLife) {
	const recent = 5 // seconds, in which what happened may be the cause
	failed, sent := instant(s).Seconds(), s.Sent.Seconds()
	connecting := slices.Contains([]history.Class{history.Refused, history.NoRoute, history.ConnectTimeout, history.ConnectFailed}, s.Class)
	foundBad, foundAt := false, 0.0
	for _, t := range b.tasks {
		if t.JoinedS == nil || *t.JoinedS > failed || connecting && t.LeftS != nil && *t.LeftS < sent {
			continue
		}
		bad, when := false, -1.0
		for _, e := range t.events {
			x := e.At.Seconds()
			if x > failed {
				break
			}
			switch e.Payload.(type) {
			case event.TaskKilled, event.TaskPaused, event.TaskSlowed, event.TaskCut:
				bad, when = true, x
			case event.TaskGone:
				bad, when = bad || t.LeftS == nil || *t.LeftS > failed, x
			case event.TaskRecovered, event.TaskLeft:
				bad, when = false, x
			case event.TaskJoined, event.TaskUnhealthy, event.TaskStopping:
				when = x
			}
		}
		if when < 0 || !bad && when < failed-recent {
			continue
		}
		if found == nil || bad && !foundBad || bad == foundBad && when > foundAt {
			found, foundBad, foundAt = t, bad, when
		}
	}
	return found
}

// groups puts failed requests down and gathers those with one cause.
func (b *attributor) groups(failed []history.Sample) []FailureGroup {
	slices.SortStableFunc(failed, func(x, y history.Sample) int { return cmp.Compare(x.Done, y.Done) })
	type key struct {
		class   history.Class
		status  int
		task    string
		event   event.Kind
		eventAt time.Duration
	}
	var keys []key
	all := map[key]*FailureGroup{}
	nobody := map[key]bool{}
	for _, s := range failed {
		x := b.put(s)
		k := key{s.Class, s.Status, x.Task, x.Event, x.EventAt}
		g := all[k]
		at, after := x.At.Seconds(), (x.At - x.EventAt).Seconds()
		if g == nil {
			g = &FailureGroup{Class: s.Class, Status: s.Status, Task: x.Task, Version: x.Version, Event: x.Event, Inferred: x.Inferred, FirstS: at,
				FromS: after, ToS: after}
			all[k], keys = g, append(keys, k)
		}
		g.Count++
		g.Inferred = g.Inferred || x.Inferred
		nobody[k] = nobody[k] || x.Nobody
		g.FirstS, g.LastS = min(g.FirstS, at), max(g.LastS, at)
		g.FromS, g.ToS = min(g.FromS, after), max(g.ToS, after)
	}
	var out []FailureGroup
	for _, k := range keys {
		g := all[k]
		g.Text = g.words(nobody[k])
		out = append(out, *g)
	}
	slices.SortStableFunc(out, func(x, y FailureGroup) int { return cmp.Compare(y.Count, x.Count) })
	return out
}

// words says such as "17 refused, 40 ms to 60 ms after rng.3#2 was told to stop".
func (g *FailureGroup) words(nobody bool) string {
	what := string(g.Class)
	if g.Status > 0 {
		what = fmt.Sprintf("answered %d", g.Status)
	}
	text := fmt.Sprintf("%d %s", g.Count, what)
	if g.Task != "" && g.Version != "" && g.Status > 0 {
		text += " by " + g.Version
	}
	if nobody {
		text += " (no replica was in rotation)"
	}
	if g.Event != "" {
		from, to := FormatSeconds(g.FromS), FormatSeconds(g.ToS)
		if g.ToS >= 10 {
			from, to = visible.Figures(g.FromS)+" s", visible.Figures(g.ToS)+" s"
		}
		span := from + " to " + to
		if from == to {
			span = from
		}
		who := g.Task
		if who == "" {
			who = "a replica"
			if strings.HasPrefix(string(g.Event), "rollout.") {
				who = "the rollout"
			}
		}
		text += fmt.Sprintf(", %s after %s %s", span, who, eventWords(g.Event))
	}
	if g.Inferred {
		text += " (inferred)"
	}
	return text
}

// eventWords says what an event is of whom it happens to.
func eventWords(k event.Kind) string {
	switch k {
	case event.TaskPulled{}.Kind():
		return "had its image"
	case event.TaskStarted{}.Kind():
		return "was started"
	case event.TaskHealthy{}.Kind():
		return "became healthy"
	case event.TaskUnhealthy{}.Kind():
		return "became unhealthy"
	case event.TaskJoined{}.Kind():
		return "came into rotation"
	case event.TaskLeft{}.Kind():
		return "left the rotation"
	case event.TaskStopping{}.Kind():
		return "was told to stop"
	case event.TaskGone{}.Kind():
		return "was gone"
	case event.TaskKilled{}.Kind():
		return "was killed"
	case event.TaskPaused{}.Kind():
		return "was frozen"
	case event.TaskSlowed{}.Kind():
		return "was made slow"
	case event.TaskCut{}.Kind():
		return "was cut off"
	case event.TaskRecovered{}.Kind():
		return "recovered"
	case event.RolloutBegin{}.Kind():
		return "began"
	case event.RolloutSlot{}.Kind():
		return "turned to the next replica"
	case event.RolloutSwitch{}.Kind():
		return "switched over"
	case event.RolloutJudged{}.Kind():
		return "judged the canary"
	case event.RolloutEnd{}.Kind():
		return "ended"
	}
	return string(k)
}
