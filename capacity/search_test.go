package capacity

import (
	"strings"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// A search is told by its answer, first of all, and by one load for each of its levels.
func TestSearchIsTold(t *testing.T) {
	run := &history.Run{Status: history.Finished, End: 9 * time.Second, Events: []history.Event{{Service: "rng",
		Payload: event.SearchEnd{Name: "rng", SLO: "p99<200ms", Level: 29.8, Above: 30.3, Confidence: .9, Tested: 2}}}}
	for i, name := range []string{"rng/16", "rng/29.8", "rng/29.8", "rng/30.3", "rng", "other"} {
		run.Loads = append(run.Loads, history.Load{LoadSpec: history.LoadSpec{Name: name, Service: "rng"},
			Intervals: []history.Interval{{Length: time.Second, Due: int64(10 + i), OK: int64(10 + i), Response: history.NewHistogram()}}})
	}
	a := Measure(run)
	if !strings.Contains(a.Overall.Headline, "search rng: 29.8 meets p99<200ms, 30.3 does not (confidence 90 %, 2 levels tested for both)") {
		t.Errorf("the headline is %q", a.Overall.Headline)
	}
	var names []string
	for _, l := range a.Told() {
		names = append(names, l.Name)
		if l.Name == "rng/29.8" && l.Requests != 12 {
			t.Errorf("%d requests; want those of the longest block", l.Requests)
		}
	}
	if got := strings.Join(names, " "); got != "rng/16 rng/29.8 rng/30.3 rng other" {
		t.Errorf("told are %s", got)
	}
	for _, r := range a.Comparison {
		if strings.Contains(r.Name, "/") {
			t.Errorf("%s is a row beside what was published", r.Name)
		}
	}
}
