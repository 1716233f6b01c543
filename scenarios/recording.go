package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"coinbench/history"
	"coinbench/loadgen"
)

// recording is a load that is being put on record.
type recording struct {
	*history.LoadWriter
	st       *stage
	service  string
	workload loadgen.Workload
	edges    history.Edges
}

// record begins the record of a load of a service.
func (st *stage) record(service string, w loadgen.Workload) (*recording, error) {
	spec, err := w.Spec(st.now())
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", w.Name, err)
	}
	spec.Service = service
	st.mu.Lock()
	spec.Step = st.step + 1
	st.mu.Unlock()
	r := &recording{st: st, service: service, workload: w}
	if r.LoadWriter, err = st.writer.Load(spec); err != nil {
		return nil, err
	}
	st.event(history.Event{Kind: history.LoadBegin, Service: service, Detail: map[string]string{"name": w.Name}})
	st.mu.Lock()
	st.playing[r] = true
	st.mu.Unlock()
	return r, nil
}

// play plays the load and ends its record; rec passes everything on to r.
func (r *recording) play(ctx context.Context, rec loadgen.Recorder) (history.LoadEndRecord, error) {
	end, err := r.st.send(ctx, r.workload, rec)
	if err != nil {
		err = fmt.Errorf("load %s: %w", r.workload.Name, err)
	}
	r.st.mu.Lock()
	delete(r.st.playing, r)
	r.st.mu.Unlock()
	return end, errors.Join(err, r.End(end))
}

// over says that the load has ended.
func (r *recording) over(err error) {
	detail := map[string]string{"name": r.workload.Name}
	if err != nil {
		detail["error"] = err.Error()
	}
	r.st.event(history.Event{Kind: history.LoadEnd, Service: r.service, Detail: detail})
}

// Edges are the instants at which something happened to the load's service.
func (r *recording) Edges() *history.Edges { return &r.edges }

// Interval shows the record to the watch of the service, if there is one.
func (r *recording) Interval(i history.Interval) error {
	if w := r.st.watching(r.service); w != nil {
		w.add(i)
	}
	return r.LoadWriter.Interval(i)
}

// divide makes the loads of a service count apart what fell due before and after an event of a disturbance: its begin, what it did to
// tasks, and the end of its step.
func (st *stage) divide(e history.Event) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case e.Kind == history.StepBegin && e.Detail["disturbance"] != "":
		st.disturbed[e.Service] = true
	case e.Kind == history.StepEnd:
	case strings.HasPrefix(string(e.Kind), "task."), strings.HasPrefix(string(e.Kind), "rollout."):
	default:
		return
	}
	for r := range st.playing {
		if st.disturbed[r.service] && (e.Service == r.service || e.Kind == history.StepEnd) {
			r.edges.Add(e.At)
		}
	}
}
