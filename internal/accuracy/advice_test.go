package main

import (
	"strings"
	"testing"

	"coinbench/internal/race"
)

// The study of the page, smaller: ten drawn settings, one of each kind.
func TestAdvice(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	t.Parallel()
	limits, rates := 0, 0
	cases := drawCases(10, 7)
	for _, c := range cases {
		r, err := c.judge(12, 8)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Log(strings.Join(r.row(), " | "))
		if r.limitRight {
			limits++
		}
		if r.adviceRight {
			rates++
		}
	}
	if limits < len(cases) || rates < len(cases)-1 {
		t.Errorf("%d limits and %d rates of %d are right", limits, rates, len(cases))
	}
}
