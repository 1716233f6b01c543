package capacity

import (
	"fmt"
	"math"
)

// crossCheckAgrees bounds the difference of two generators' 99th percentiles, by ratio, below which they agree.
const crossCheckAgrees = 1.5

// crossCheck says of each load that another engine played how it differs from the same load played by coinbench itself, and why.
func crossCheck(all []LoadResult) {
	for i := range all {
		other := &all[i]
		if other.Engine == "" || other.ServiceTime == nil {
			continue
		}
		for _, own := range all {
			if own.Engine != "" || own.Closed || own.Schedule != other.Schedule || own.Service != other.Service || own.Method != other.Method ||
				own.Response == nil || own.ServiceTime == nil {
				continue
			}
			other.Warnings = append(other.Warnings, crossChecked(own, *other))
		}
	}
}

func crossChecked(own, other LoadResult) string {
	text := fmt.Sprintf("cross-check with %s, the same load by coinbench itself: p99 of the response time %s, of the service time %s, %d "+
		"requests; %s says p99 %s of the service time, %d requests. ",
		own.Name, FormatSeconds(own.Response.P99S), FormatSeconds(own.ServiceTime.P99S), own.Requests, other.Engine,
		FormatSeconds(other.ServiceTime.P99S), other.Requests)
	differ := math.Max(own.Response.P99S, other.ServiceTime.P99S) / math.Max(math.Min(own.Response.P99S, other.ServiceTime.P99S), 1e-6)
	switch {
	case differ <= crossCheckAgrees:
		return text + "They agree"
	case own.Response.P99S > other.ServiceTime.P99S && own.Lag != nil && own.Lag.P99S > own.Response.P99S/2:
		return text + fmt.Sprintf("They differ because requests waited for a connection, up to %s: %s begins to count when they are sent, "+
			"coinbench when they fall due", FormatSeconds(own.Lag.MaxS), other.Engine)
	}
	return text + "They differ in what the server took: it was not in the same state, or one of the generators is at fault"
}
