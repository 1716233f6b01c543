package cluster

import (
	"fmt"
	"sort"
	"time"

	"coinbench/history/event"
)

// RolloutError says that an update did not complete.
type RolloutError struct {
	Service string
	Outcome event.Outcome // Paused or RolledBack
	Reason  string
}

// Error says which service, what became of its update and why.
func (e *RolloutError) Error() string {
	return fmt.Sprintf("update of %s %s: %s", e.Service, e.Outcome, e.Reason)
}

// Watch is how long after it is up a new task's failure counts: the longer of Monitor and Delay, as the engine has it from 20.10.9 on
// (moby/swarmkit, manager/orchestrator/update: one second more than a delay that is not shorter than Monitor).
func (r Rollout) Watch() time.Duration {
	if r.Delay > 0 && r.Delay >= r.Monitor {
		return r.Delay + time.Second
	}
	return r.Monitor
}

// Tolerated is how many of n new tasks may fail before FailureAction is taken: the most whose share is not greater than MaxFailureRatio,
// both in single precision, in which the engine keeps them. So 0.7 lets 7 of 10 pass, however it was given.
func (r Rollout) Tolerated(n int) int {
	ratio := float32(r.MaxFailureRatio)
	return sort.Search(n, func(failures int) bool { return float32(failures+1)/float32(n) > ratio })
}
