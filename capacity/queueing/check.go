package queueing

import (
	"errors"
	"fmt"
	"math"
)

// check names every input that a formula does not accept, all at once.
func check(what string, faults ...error) error {
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func notNegative(name string, v float64) error {
	if v >= 0 && !math.IsInf(v, 0) {
		return nil
	}
	return fmt.Errorf("%s is %g; accepted: a number, at least 0", name, v)
}

func positive(name string, v float64) error {
	if v > 0 && !math.IsInf(v, 0) {
		return nil
	}
	return fmt.Errorf("%s is %g; accepted: a number greater than 0", name, v)
}

func atLeast(name string, v, least int) error {
	if v >= least {
		return nil
	}
	return fmt.Errorf("%s: %d; accepted: at least %d", name, v, least)
}
