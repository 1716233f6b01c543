package loadgen

import (
	"fmt"
	"math/big"
)

// Split shares a workload among n generators, so that together they send what one would: clients, connections, numbers of
// requests and rates add up to those of w. A closed workload with fewer clients than n is shared among as many generators as
// it has clients. Each share has a seed of its own.
func (w Workload) Split(n int) ([]Workload, error) {
	if n < 1 {
		return nil, fmt.Errorf("%d generators; accepted: at least 1", n)
	}
	if err := w.Validate(); err != nil {
		return nil, err
	}
	if w.Clients > 0 {
		n = min(n, w.Clients)
	}
	if w.Requests > 0 {
		n = int(min(int64(n), w.Requests))
	}
	if n == 1 {
		return []Workload{w}, nil
	}
	// part i of total, so that the parts add up; where zero means something else, at least 1.
	part := func(total int64, i int) int64 {
		if total <= 0 {
			return total
		}
		share := total / int64(n)
		if int64(i) < total%int64(n) {
			share++
		}
		return max(share, 1)
	}
	var schedule string
	if w.Schedule != "" {
		s, err := ParseSchedule(w.Schedule)
		if err != nil {
			return nil, err
		}
		schedule = s.Scaled(big.NewRat(1, int64(n))).String()
	}
	keep := func(kept, byDefault int64, i int) int64 {
		if kept == 0 {
			kept = byDefault
		}
		return part(kept, i)
	}
	var shares []Workload
	for i := range n {
		s := w
		s.Clients = int(part(int64(w.Clients), i))
		s.Requests = part(w.Requests, i)
		s.Schedule = schedule
		s.Connections = int(part(int64(w.Connections), i))
		s.Backlog = int(part(int64(w.Backlog), i))
		s.MaxSamples = keep(w.MaxSamples, defaultSamples, i)
		s.MaxFailures = keep(w.MaxFailures, defaultFailures, i)
		s.Seed = w.Seed + uint64(i)
		shares = append(shares, s)
	}
	return shares, nil
}

// Scaled is the schedule with every rate times f: over any time, f times as many requests fall due.
func (s Schedule) Scaled(f *big.Rat) Schedule {
	scaled := Schedule{poisson: s.poisson}
	for _, p := range s.parts {
		p.curve = timesRate(p.curve, f)
		scaled.parts = append(scaled.parts, p)
	}
	return scaled
}

func timesRate(c curve, f *big.Rat) curve {
	times := func(r rate) rate { return newRate(new(big.Rat).Mul(r.Rat, f)) }
	switch c := c.(type) {
	case constant:
		return constant{times(c.r)}
	case ramp:
		return ramp{times(c.a), times(c.b), c.T}
	case steps:
		return steps{times(c.a), times(c.d), c.T, c.n}
	case sine:
		return sine{times(c.m), times(c.a), c.P}
	}
	panic(fmt.Sprintf("a curve of type %T", c)) // a fault of ours
}
