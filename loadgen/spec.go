package loadgen

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"coinbench/history"
)

// Spec words the workload for a history; begin is since the history's start.
func (w Workload) Spec(begin time.Duration) (history.LoadSpec, error) {
	if err := w.Validate(); err != nil {
		return history.LoadSpec{}, err
	}
	raw, err := json.Marshal(w)
	if err != nil {
		return history.LoadSpec{}, fmt.Errorf("load %s: %w", w.Name, err)
	}
	method := w.Targets[0].Method
	if method == "" {
		method = "GET"
	}
	return history.LoadSpec{
		Name: w.Name, Method: method, URL: w.Targets[0].URL, Closed: w.Schedule == "", Clients: w.Clients, Schedule: w.Schedule,
		Requests: w.Requests, Duration: w.Duration, Think: w.Think, Connections: w.Connections, Reuse: w.Reuse.String(),
		Patience: w.patience(),
		Begin:    begin, Workload: raw,
	}, nil
}

func (w Workload) patience() time.Duration {
	if w.Patience == 0 {
		return history.DefaultPatience
	}
	return w.Patience
}

func (r Reuse) String() string {
	if r.PerRequest {
		return "a new connection for each request"
	}
	parts := []string{"kept"}
	if r.MaxRequests > 0 {
		parts = append(parts, fmt.Sprintf("for %d requests", r.MaxRequests))
	}
	if r.MaxAge > 0 {
		parts = append(parts, fmt.Sprintf("for %v", r.MaxAge))
	}
	return strings.Join(parts, " ")
}
