package rollout

import (
	"fmt"
	"slices"
	"time"

	"coinbench/cluster"
)

// Restarts are those of one slot, as the engine counts them. The zero value has none.
type Restarts struct{ at []time.Time }

// Next is how long after its end a task that ended by itself has a successor; never: why it has none.
func (r *Restarts) Next(policy cluster.Restart, succeeded bool, now time.Time) (delay time.Duration, never string) {
	switch {
	case policy.Condition == "none":
		return 0, "its restart policy is none"
	case policy.Condition == "on-failure" && succeeded:
		return 0, "its restart policy is on-failure"
	}
	if w := policy.Window; w > 0 {
		r.at = slices.DeleteFunc(r.at, func(at time.Time) bool { return now.Sub(at) > w })
	}
	if most := policy.MaxAttempts; most > 0 && len(r.at) >= most {
		return 0, fmt.Sprintf("after %d restarts its restart policy allows no more", most)
	}
	r.at = append(r.at, now)
	return policy.Delay, ""
}
