package main

import (
	"fmt"
	"testing"

	"coinbench/capacity"
)

// The first commit whose gate fails is found in about log2 n gates, wherever it is; what is neither PASS nor FAIL ends the search.
func TestBisectFindsTheFirstThatFails(t *testing.T) {
	for n := 1; n <= 33; n++ {
		for want := range n {
			played := 0
			got, _, err := bisect(n, func(i int) (capacity.Outcome, error) {
				played++
				if i >= want {
					return capacity.OutcomeFail, nil
				}
				return capacity.OutcomePass, nil
			})
			if err != nil || got != want || played > 7 {
				t.Fatalf("%d of %d: found %d in %d gates, %v", want, n, got, played, err)
			}
		}
	}
	if got, outcome, _ := bisect(4, func(int) (capacity.Outcome, error) { return capacity.OutcomePass, nil }); got != -1 ||
		outcome != capacity.OutcomePass {
		t.Errorf("without a loss: %d, %s", got, outcome)
	}
	if _, outcome, _ := bisect(4, func(i int) (capacity.Outcome, error) {
		return map[bool]capacity.Outcome{true: capacity.OutcomeFail, false: capacity.OutcomeInconclusive}[i == 3], nil
	}); outcome != capacity.OutcomeInconclusive {
		t.Errorf("in doubt: %s", outcome)
	}
	if _, _, err := bisect(4, func(int) (capacity.Outcome, error) { return "", fmt.Errorf("no space") }); err == nil {
		t.Error("an error is lost")
	}
}
