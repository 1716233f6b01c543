package scenarios

import (
	"context"
	"errors"
	"fmt"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/loadgen"
)

// recording is a load that is being put on record.
type recording struct {
	*history.LoadWriter
	st       *stage
	service  string
	workload loadgen.Workload
	edges    *history.Edges // of the service: a disturbance lasts until the last failure of any of its loads
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
	r := &recording{st: st, service: service, workload: w, edges: st.edgesOf(service)}
	st.mu.Unlock()
	if r.LoadWriter, err = st.writer.Load(spec); err != nil {
		return nil, err
	}
	return r, nil
}

// play plays the load and ends its record; rec passes everything on to r.
func (r *recording) play(ctx context.Context, rec loadgen.Recorder) (history.LoadEndRecord, error) {
	end, err := r.st.send(ctx, r.workload, rec)
	if err != nil {
		err = fmt.Errorf("load %s: %w", r.workload.Name, err)
	}
	return end, errors.Join(err, r.End(end, err))
}

// Edges are the instants at which something happened to the load's service.
func (r *recording) Edges() *history.Edges { return r.edges }

// Interval shows the record to the watch of the service, if there is one.
func (r *recording) Interval(i history.Interval) error {
	if w := r.st.watching(r.service); w != nil && !r.workload.ObserveOnly {
		w.add(i)
	}
	return r.LoadWriter.Interval(i)
}

// edgesOf are a service's. st.mu is held.
func (st *stage) edgesOf(service string) *history.Edges {
	if st.edges[service] == nil {
		st.edges[service] = &history.Edges{}
	}
	return st.edges[service]
}

// divide makes the loads of a service count apart what fell due before and after an event of a disturbance: its begin, what it did to
// tasks, and the end of its step.
func (st *stage) divide(e history.Event) {
	st.mu.Lock()
	defer st.mu.Unlock()
	begin, _ := e.Payload.(event.StepBegin)
	switch {
	case begin.Disturbance != "":
		st.disturbed[e.Service] = true
		st.edgesOf(e.Service).Add(e.At)
	case e.Is(event.StepEnd{}):
		for service := range st.disturbed {
			st.edgesOf(service).Add(e.At)
		}
	case e.Payload.Kind().OfReplicas() && st.disturbed[e.Service]:
		st.edgesOf(e.Service).Add(e.At)
	}
}
