package clustertest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// evidence judges all that a cluster has said when a test is over and the app removed: what the analysis needs of an event is there,
// whichever cluster says it, and the lives of tasks and rollouts are whole.
func evidence(t *testing.T, events []history.Event) {
	lives := map[string]*life{}
	rollouts := map[string]event.RolloutBegin{} // in progress, by service
	for i, e := range events {
		if e.Payload == nil {
			t.Errorf("event %d has no payload: %+v", i, e)
			continue
		}
		kind := e.Payload.Kind()
		if lack := lacks(e.Payload); lack != "" {
			t.Errorf("event %d, %s of %s: %s", i, kind, cmp.Or(e.Task, e.Service), lack)
		}
		if _, ok := e.Payload.(event.ConnectionFailed); e.Task != "" && !ok {
			if lives[e.Task] == nil {
				lives[e.Task] = &life{}
			}
			if wrong := lives[e.Task].next(e.Payload); wrong != "" {
				t.Errorf("event %d, %s of %s: %s", i, kind, e.Task, wrong)
			}
		}
		before, busy := rollouts[e.Service]
		switch p := e.Payload.(type) {
		case event.RolloutBegin:
			if busy && (before.Rollback || !p.Rollback) && p.Strategy != string(cluster.RollingUpdate) {
				t.Errorf("event %d: a rollout of %s begins within another that is not rolled back", i, e.Service)
			}
			rollouts[e.Service] = p
		case event.RolloutSlot, event.RolloutSwitch, event.RolloutEnd:
			if !busy {
				t.Errorf("event %d, %s of %s: no rollout has begun", i, kind, e.Service)
			}
			if _, over := p.(event.RolloutEnd); over {
				delete(rollouts, e.Service)
			}
		case event.ServiceUpdated:
			if busy {
				t.Errorf("event %d: %s was updated, and no event says that its rollout has ended", i, e.Service)
			}
		}
	}
	for name, l := range lives {
		if l.started && !l.gone && !strings.HasPrefix(name, "redis.") { // which may have been there before
			t.Errorf("%s is not gone", name)
		}
	}
}

// lacks says what an event does not say of itself.
func lacks(p event.Payload) string {
	need := func(pairs ...any) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == "" || pairs[i] == 0 {
				return fmt.Sprintf("no %v", pairs[i+1])
			}
		}
		return ""
	}
	switch p := p.(type) {
	case event.ServiceDeployed:
		return need(p.Image, "image", p.Balance, "balance")
	case event.ServiceUpdated:
		return need(p.Image, "image", p.Balance, "balance")
	case event.RolloutBegin:
		tasks := p.Tasks
		if p.Rollback { // of an update that had replaced none
			tasks = max(tasks, 1)
		}
		return need(p.Strategy, "strategy", p.Order, "order", tasks, "number of tasks")
	case event.RolloutSlot:
		return need(p.Slot, "slot")
	case event.RolloutSwitch:
		return need(p.To, "set")
	case event.RolloutEnd:
		if !slices.Contains([]event.Outcome{event.Completed, event.Paused, event.RolledBack}, p.Outcome) {
			return "no outcome: " + string(p.Outcome)
		}
		if p.Outcome != event.Completed {
			return need(p.Reason, "reason")
		}
	case event.TaskStarted:
		version := p.Version
		if !cluster.ParseImage(p.Image).Coinbench() {
			version = "none"
		}
		return need(p.Image, "image", version, "version")
	case event.TaskUnhealthy:
		return need(p.Error, "error")
	case event.TaskKilled:
		return need(int(p.Down), "time that it is down")
	case event.TaskPaused:
		return need(int(p.For), "length")
	case event.TaskSlowed:
		return need(int(p.For), "length", int(p.Delay), "delay")
	case event.ConnectionFailed:
		return need(p.Why, "reason")
	case event.Warning:
		return need(p.Message, "message")
	case event.Unknown:
		return "it is no event of this version"
	}
	return ""
}

// life is what is known of a task.
type life struct{ started, in, stopping, gone bool }

// next goes on with the life, and says what cannot be.
func (l *life) next(p event.Payload) (wrong string) {
	switch p := p.(type) {
	case event.TaskPulled: // of one that is going to be
		return ""
	case event.TaskStarted:
		if l.started {
			wrong = "it was started before"
		}
		l.started = true
		return wrong
	case event.TaskJoined:
		if l.in || l.gone {
			wrong = "it is in rotation, or gone"
		}
		l.in = true
	case event.TaskLeft: // one that was killed in rotation leaves it later
		if !l.in {
			wrong = "it is not in rotation"
		}
		l.in = false
	case event.TaskStopping:
		if l.in || l.gone {
			wrong = "it is in rotation, or gone"
		}
		l.stopping = true
	case event.TaskKilled: // its process may have ended well before the signal came
		l.stopping = true
	case event.TaskGone:
		switch {
		case l.gone:
			wrong = "it is gone already"
		case !l.stopping && p.Error == "":
			wrong = "it was not told to stop, and no error says why it ended"
		}
		if l.gone = true; p.Error != "" { // as of one that could not be started
			return wrong
		}
	}
	if !l.started {
		wrong = "it was not started"
	}
	return wrong
}
