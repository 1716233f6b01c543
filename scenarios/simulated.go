package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"coinbench/capacity/des"
	"coinbench/cluster/sim"
	"coinbench/history"
	"coinbench/loadgen"
)

// The generator's own defaults, which hold on the simulator too.
const (
	simGrace       = 10 * time.Second
	simMaxSamples  = 100_000
	simMaxFailures = 10_000
)

// SimulatedLoads is a Config.Play that plays a load generator's workload on the simulated cluster: the schedules are the generator's own,
// the requests are simulated.
func SimulatedLoads(c *sim.Cluster) func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord, error) {
	return func(ctx context.Context, w loadgen.Workload, _ time.Time, rec loadgen.Recorder) (history.LoadEndRecord, error) {
		load, err := simulated(c, w)
		if err != nil {
			return history.LoadEndRecord{}, fmt.Errorf("simulate load %s: %w", w.Name, err)
		}
		load.Recorder = rec
		return c.Play(ctx, load)
	}
}

func simulated(c *sim.Cluster, w loadgen.Workload) (des.Load, error) {
	if w.Reuse.MaxRequests > 0 || w.Reuse.MaxAge > 0 {
		return des.Load{}, errors.New("the simulator knows connections that are kept and connections that are made for each request: leave " +
			"out max_requests and max_age")
	}
	// A simulated answer comes whole, so that the timeout of its header is that of its body too.
	load := des.Load{Name: w.Name, Clients: w.Clients, Think: w.Think, Requests: w.Requests, Duration: w.Duration,
		Grace: orDefault(w.Grace, simGrace), Patience: w.Patience,
		Connections: w.Connections, Backlog: w.Backlog, PerRequest: w.Reuse.PerRequest, Connect: w.Timeouts.Connect, Response: w.Timeouts.Header,
		Expect: w.Expect.Status, MaxSamples: orDefault(w.MaxSamples, simMaxSamples), MaxFailures: orDefault(w.MaxFailures, simMaxFailures)}
	for _, t := range w.Targets {
		u, err := url.Parse(t.URL)
		if err != nil {
			return load, err
		}
		service, err := c.Service(u.Host)
		if err != nil {
			return load, err
		}
		load.Targets = append(load.Targets, des.Target{Service: service, Root: u.Path == "/" && t.Method == http.MethodGet})
	}
	if w.Schedule != "" {
		s, err := loadgen.ParseSchedule(w.Schedule)
		if err != nil {
			return load, err
		}
		dues := s.Dues(w.Seed)
		load.Due = func(int64) (time.Duration, bool) { return dues.Next() }
	}
	return load, nil
}

func orDefault[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}
