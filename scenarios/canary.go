package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"coinbench/capacity"
	"coinbench/cluster"
	"coinbench/history"
)

// canary replaces one replica, compares it with the rest by the requests of the loads in the background, and goes on or back.
func (s *Update) canary(ctx context.Context, st *stage, change cluster.Change) error {
	back, ok := st.cluster.(cluster.Rollbacker)
	if !ok {
		return errors.New("this cluster cannot roll back, so it has no canary")
	}
	service, _ := st.service(s.Service)
	before, err := tasks(ctx, st.cluster, s.Service)
	if err != nil {
		return err
	}
	change.Slots = []int{1} // where the engine chooses, it may be another
	if err := st.cluster.Update(ctx, s.Service, change); err != nil {
		return err
	}
	after, err := tasks(ctx, st.cluster, s.Service)
	if err != nil {
		return err
	}
	slot := 0
	for _, t := range after {
		if t.State == cluster.Running && !slices.ContainsFunc(before, func(b cluster.Task) bool { return b.Name == t.Name }) {
			slot = t.Slot
		}
	}
	if slot == 0 {
		return errors.New("no replica has become the canary")
	}
	w := &watch{service: s.Service, canary: fmt.Sprintf("%s.%d", s.Service, slot)}
	st.doing("watching %s", w.canary)
	st.watched(w)
	err = st.cluster.Sleep(ctx, s.Watch)
	st.watched(nil)
	if err != nil {
		return err
	}
	v := capacity.JudgeCanary(w.sides[0], w.sides[1], s.Confidence)
	verdict := "on"
	if v.Back {
		verdict = "back"
	}
	st.event(history.Event{Kind: history.RolloutJudged, Service: s.Service, Task: w.task, Detail: map[string]string{"verdict": verdict, "reason": v.Reason}})
	if v.Back {
		st.doing("taking %s back", w.canary)
		if err := back.Rollback(ctx, s.Service); err != nil {
			return err
		}
		return &cluster.RolloutError{Service: s.Service, Outcome: cluster.RolledBack, Reason: v.Reason}
	}
	st.doing("replacing the other %s", plural(service.Replicas-1, "replica"))
	change.Slots = nil
	return st.cluster.Update(ctx, s.Service, change)
}

// tasks are those of a service now.
func tasks(ctx context.Context, c cluster.Cluster, service string) ([]cluster.Task, error) {
	all, err := c.Status(ctx)
	for _, s := range all {
		if s.Name == service {
			return s.Tasks, err
		}
	}
	return nil, err
}

// watch collects what becomes of a service's requests.
type watch struct {
	service string
	canary  string // the replica, as answers name it

	mu    sync.Mutex
	task  string
	sides [2]capacity.CanarySide // canary, rest
}

func (w *watch) side(replica string) *capacity.CanarySide {
	if replica == w.canary {
		return &w.sides[0]
	}
	return &w.sides[1]
}

// sample counts a request that a replica answered. One that nobody answered is counted by its connection.
func (w *watch) sample(s history.Sample) {
	if s.Replica == "" || s.Class == history.Cancelled {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	side := w.side(s.Replica)
	if s.Class == history.OK {
		side.TimesS = append(side.TimesS, (s.Done - s.Sent).Seconds())
	} else {
		side.Failed++
	}
}

// event counts a connection that a replica refused or broke.
func (w *watch) event(e history.Event) {
	replica, _, _ := strings.Cut(e.Task, "#")
	if e.Kind != history.ConnectionFailed || e.Service != w.service || replica == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.side(replica).Failed++
	if replica == w.canary {
		w.task = e.Task
	}
}

// watched makes a watch see all requests and events from here on; nil: none does.
func (st *stage) watched(w *watch) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.watch = w
}

func (st *stage) watching(service string) *watch {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.watch == nil || st.watch.service != service {
		return nil
	}
	return st.watch
}
