package frame_test

import (
	"slices"
	"strings"
	"testing"

	"coinbench/capacity"
	"coinbench/live/frame"
)

func value(v float64) *float64 { return &v }

// What a frame has no room for is left out at the end of a line, and says so; a number is never cut.
func TestTextOfAFrame(t *testing.T) {
	f := frame.Frame{
		Run: frame.Run{Unit: "hashes", Driver: "worker", Stations: []string{"rng"}},
		Now: frame.Now{OKPerS: value(90), P50S: value(.045), P99S: value(.09), Failed: 7, Away: 2},
		Services: []frame.Service{{Name: "redis", Asked: 1, Serving: 1}, {Name: "rng", Asked: 3, Serving: 2, Versions: map[string]int{"v1": 1, "v2": 1},
			Busy: value(.2)}, {Name: "worker", Asked: 10, Serving: 10, Busy: value(.997), Queue: value(3.2)}},
		Loads: []frame.Load{{Name: "users"}},
		Judged: &frame.Judged{Invalid: []string{"the generator was late"}, Objectives: []frame.Objective{{Result: "pass"}, {Result: "fail"},
			{Result: "pass"}, {Result: "unknown"}}, Windows: []frame.Window{{Name: "a", Limit: "rng+hasher", PerS: value(10)}, {Name: "b"}}},
		Marks: []capacity.Mark{{AtS: 61, Text: "rng \x1b[2J"}},
	}
	points := []frame.Point{{WidthS: 1}, {WidthS: 1, Traffic: map[string]frame.Traffic{"rng": {OK: 45}}}, {WidthS: 1},
		{WidthS: 1, Traffic: map[string]frame.Traffic{"rng": {OK: 90}}}, {WidthS: 1}}
	for columns, want := range map[int][]string{
		90: {
			"requests   90.0 ok/s  p50 45.0 ms  p99 90.0 ms  7 failed   ▅ █",
			"replicas   worker 10 (2 wait after an error)  rng 2 of 3 (1 × v1, 1 × v2)  redis 1",
			"stations   worker 100 %, 3 waiting  rng 20 %",
			"INVALID    the generator was late",
			"limited by rng and hasher in a: 10.0 hashes/s",
			"objectives 1 fails  2 hold  1 not known yet",
			`last       1:01 rng \x1b[2J`,
		},
		40: {
			"requests   90.0 ok/s  p50 45.0 ms …",
			"replicas   worker 10 (2 wait after an e…",
			"stations   worker 100 %, 3 waiting …",
			"INVALID    the generator was late",
			"limited by rng and hasher in a: 10.0 ha…",
			"objectives 1 fails  2 hold …",
			`last       1:01 rng \x1b[2J`,
		},
	} {
		got := f.Text(points, columns)
		if !slices.Equal(got, want) {
			t.Errorf("%d columns:\n%s\nwant\n%s", columns, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for columns := 20; columns < 120; columns++ {
		for _, line := range f.Text(points, columns) {
			if len([]rune(line)) > columns {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
	if got := (frame.Frame{}).Text(nil, 80); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}
