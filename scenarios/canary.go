package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"coinbench/capacity"
	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
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
	replicas := []string{""} // the canary's name, then the others'
	task := ""
	for _, t := range after {
		name := fmt.Sprintf("%s.%d", s.Service, t.Slot)
		switch {
		case t.State != cluster.Running:
		case task == "" && !slices.ContainsFunc(before, func(b cluster.Task) bool { return b.Name == t.Name }):
			task, replicas[0] = t.Name, name
		default:
			replicas = append(replicas, name)
		}
	}
	if task == "" {
		return errors.New("no replica has become the canary")
	}
	st.doing("watching %s", replicas[0])
	w := newWatch(s.Service, replicas, st.now(), s.Watch)
	st.watched(w)
	err = st.cluster.Sleep(ctx, s.Watch)
	st.watched(nil)
	if err != nil {
		return err
	}
	v := capacity.JudgeCanary(w.seconds(), time.Second, s.Confidence)
	st.event(history.NewEvent(s.Service, task, event.RolloutJudged{Verdict: v.Result, Reason: v.Reason}))
	if v.Result != event.CanaryOn {
		st.doing("taking %s back", replicas[0])
		if err := back.Rollback(ctx, s.Service); err != nil {
			return err
		}
		return &cluster.RolloutError{Service: s.Service, Outcome: event.RolledBack, Reason: v.Reason}
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

// watch collects what becomes of a service's requests, by second and replica, from the intervals of its loads: of them a load of any length
// has all.
type watch struct {
	service    string
	replicas   []string // as answers name them; the canary first
	begin, end time.Duration

	mu    sync.Mutex
	cells []capacity.CanaryCell
}

func newWatch(service string, replicas []string, begin, length time.Duration) *watch {
	return &watch{service: service, replicas: replicas, begin: begin, end: begin + length}
}

// add counts an interval that lies within the watch.
func (w *watch) add(i history.Interval) {
	if i.At < w.begin || i.At+i.Length > w.end || i.Length <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	second := int((i.At + i.Length/2 - w.begin) / time.Second)
	for len(w.cells) <= second {
		w.cells = append(w.cells, capacity.CanaryCell{Replicas: make([]capacity.Served, len(w.replicas))})
	}
	c := &w.cells[second]
	known := int64(0)
	for _, p := range i.Parts {
		known += p.Failed()
		if r := slices.Index(w.replicas, p.Replica); r >= 0 {
			c.Replicas[r].Add(p)
		}
	}
	for class, n := range i.Failures {
		if class != history.Cancelled && class != history.Dropped { // of which no replica knows
			c.Unanswered += n
		}
	}
	c.Unanswered -= known
	if i.GivenUp != nil {
		c.WaitedS += i.GivenUp.Mean() / 1e9 * float64(i.GivenUp.TotalCount())
	}
}

// seconds are those of the watch of which the record has come.
func (w *watch) seconds() []capacity.CanaryCell {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cells
}

// watched makes a watch see what becomes of requests from here on; nil: none does.
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
