package capacity

import (
	"slices"
	"testing"
)

func TestFindingsAreToldOnce(t *testing.T) {
	got := alike([]string{
		"load a/1: the generator sent late: lag p99 is 7.50 ms, the limit 5.00 ms: lower the rate",
		"load a/1: the generator sent late: lag p99 is 1.20 s, the limit 5.00 ms: lower the rate",
		"window fast: rng.1 was not read for 4.0 s",
		"load b: the generator sent late: lag p99 is 900 µs, the limit 5.00 ms: lower the rate",
		"load a/1: lag p99 is 4.44 ms: on an idle machine it is under 1.00 ms",
		"nothing else",
	})
	want := []string{
		"load a/1: the generator sent late: lag p99 is 7.50 ms, the limit 5.00 ms: lower the rate (and 2 more of the kind: a/1, b)",
		"window fast: rng.1 was not read for 4.0 s",
		"load a/1: lag p99 is 4.44 ms: on an idle machine it is under 1.00 ms",
		"nothing else",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
