package main

import (
	"strings"
	"testing"

	"coinbench/internal/race"
)

// What the planner finds is what trying everything finds; the page has thirty of them.
func TestPlans(t *testing.T) {
	if race.Enabled {
		t.Skip("not run: the study of virtual time is played without the race detector")
	}
	t.Parallel()
	rows, err := plans(3, 11, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		if verdict := row[len(row)-1]; strings.HasPrefix(verdict, "wrong") {
			t.Errorf("%s", strings.Join(row, " | "))
		}
	}
}
