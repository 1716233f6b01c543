package loadgen

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule says when request n is due.
type Schedule interface {
	String() string
	Dues(seed uint64) Dues
}

// Dues gives the due instants in order, since the begin of the load.
type Dues interface {
	Next() (time.Duration, bool)
}

// ParseSchedule reads a schedule.
func ParseSchedule(text string) (Schedule, error) {
	t := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "constant("), ")")
	n, unit, found := strings.Cut(t, "/")
	rate, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
	if !found || err != nil || rate <= 0 || strings.TrimSpace(unit) != "s" {
		return nil, fmt.Errorf("schedule %q: write it like 500/s", text)
	}
	return constant(rate), nil
}

type constant float64

func (c constant) String() string   { return fmt.Sprintf("%g/s", float64(c)) }
func (c constant) Dues(uint64) Dues { return &constantDues{rate: float64(c)} }

type constantDues struct {
	rate float64
	n    int64
}

func (d *constantDues) Next() (time.Duration, bool) {
	t := time.Duration(float64(d.n) / d.rate * 1e9)
	d.n++
	return t, true
}
