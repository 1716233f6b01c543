package capacity

import (
	"fmt"
	"time"

	"coinbench/history"
)

// Lateness of the generator itself that is harmless: up to lateFloor or, where that is more, lateShare of the median service time. They are
// the limits by which it judges itself, at p99 (loadgen.InvalidLag); an objective is judged at its own percentile.
const (
	lateFloor = .005 // seconds
	lateShare = .05
)

// late is by how much the generator itself may have lengthened a percentile of the response times (100: also the mean, and the longest time
// without a success), in seconds, and says so; 0: by nothing that matters.
func (r *LoadResult) late(percentile float64) (seconds float64, why string) {
	if r.Late == nil {
		return 0, ""
	}
	what := "in the worst case"
	switch {
	case percentile >= 100:
		seconds = r.Late.MaxS
	case percentile > 99:
		seconds, what = r.Late.P999S, "at p99.9"
	default:
		seconds, what = r.Late.P99S, "at p99"
	}
	limit := lateFloor
	if r.ServiceTime != nil {
		limit = max(limit, lateShare*r.ServiceTime.P50S)
	}
	if seconds <= limit {
		return 0, ""
	}
	return seconds, fmt.Sprintf("the generator itself sent up to %s late %s, which is part of it", FormatSeconds(seconds), what)
}

// sooner counts the failures whose answer was waited for no longer than the generator was late and an answer takes: it may have come, and
// not have been seen.
func sooner(total history.Interval, late, service *Latency) (n int64) {
	if late == nil || total.GivenUp == nil || late.MaxS <= lateFloor {
		return 0
	}
	longest := late.MaxS
	if service != nil {
		longest += service.P99S
	}
	for age, k := range total.GivenUp.ForEachBucket {
		if time.Duration(age).Seconds() <= longest {
			n += k
		}
	}
	return min(n, total.Failed()-total.Failures[history.Cancelled])
}
