package queueing

import (
	"fmt"
	"math"
)

// Utilisation is the share of time that each of servers is occupied by rate completions a second of serviceS seconds each:
// U = X S / c (utilisation law, Lazowska 1984, section 3.2; Denning and Buzen 1978). It assumes nothing but flow balance.
// A result above 1 says that the inputs cannot have been measured together.
func Utilisation(ratePerS, serviceS float64, servers int) (float64, error) {
	if err := check("utilisation", notNegative("rate", ratePerS), notNegative("service time", serviceS),
		atLeast("servers", servers, 1)); err != nil {
		return 0, err
	}
	return ratePerS * serviceS / float64(servers), nil
}

// ForcedFlow is the throughput of a station that each job visits so often: X_k = V_k X (Lazowska 1984, section 3.4).
func ForcedFlow(systemPerS, visits float64) (float64, error) {
	if err := check("forced flow", notNegative("rate", systemPerS), notNegative("visits", visits)); err != nil {
		return 0, err
	}
	return systemPerS * visits, nil
}

// Little is the mean number present: N = X R (Little's law, Lazowska 1984, section 3.3). It holds for every system in which
// arrivals equal departures over the interval, whatever its distributions.
func Little(ratePerS, responseS float64) (float64, error) {
	if err := check("little's law", notNegative("rate", ratePerS), notNegative("response time", responseS)); err != nil {
		return 0, err
	}
	return ratePerS * responseS, nil
}

// ResponseTime is the mean response time of an interactive system: R = N/X - Z (Lazowska 1984, section 3.3).
func ResponseTime(clients, ratePerS, thinkS float64) (float64, error) {
	if err := check("response time law", notNegative("clients", clients), positive("rate", ratePerS),
		notNegative("think time", thinkS)); err != nil {
		return 0, err
	}
	r := clients/ratePerS - thinkS
	if r < 0 {
		return 0, fmt.Errorf("response time law: %g clients at %g/s think at most %g s, not %g s", clients, ratePerS, clients/ratePerS, thinkS)
	}
	return r, nil
}

// Limits are what the demands alone say about a closed network with n clients.
type Limits struct {
	Clients     int
	UpperPerS   float64 // throughput is at most this
	LowerPerS   float64 // and at least this
	BestS       float64 // response time (think time excluded) is at least this
	WorstS      float64 // and at most this
	KneeClients float64 // N*: from here on the bottleneck, not the clients, is the upper bound; +Inf: nothing limits
	Bottleneck  int     // index of the station with the least capacity; -1: none limits
}

// Asymptotic are the asymptotic bounds (Lazowska 1984, section 5.2, table 5.1), with c servers as c/D:
//
//	N / (Z + N D)  <=  X(N)  <=  min( N/(Z+D), min_k c_k/D_k )          max(D, N Dmax - Z) <= R(N) <= N D
//
// They hold for every distribution and discipline as long as a client's demand does not depend on the others.
func (w Network) Asymptotic(n int) (Limits, error) {
	if err := w.check(n); err != nil {
		return Limits{}, fmt.Errorf("asymptotic bounds: %w", err)
	}
	l := Limits{Clients: n, Bottleneck: -1, KneeClients: math.Inf(1)}
	total, queued, most := 0.0, 0.0, 0.0
	for i, s := range w.Stations {
		total += s.DemandS
		if s.Servers == Delay {
			continue
		}
		queued += s.DemandS
		if d := s.DemandS / float64(s.Servers); d > most {
			most, l.Bottleneck = d, i
		}
	}
	alone, size := w.ThinkS+total, float64(n)
	if alone == 0 {
		return Limits{}, fmt.Errorf("asymptotic bounds: think time and demands are all 0; accepted: one that is positive")
	}
	l.UpperPerS = size / alone
	if most > 0 {
		l.KneeClients = alone / most
		l.UpperPerS = min(l.UpperPerS, 1/most)
	}
	l.LowerPerS = size / (alone + (size-1)*queued)
	l.BestS = max(total, size*most-w.ThinkS)
	l.WorstS = total + (size-1)*queued
	return l, nil
}

// BalancedJob are the balanced job bounds (Lazowska 1984, section 5.4, table 5.2): tighter than the asymptotic ones, and
// only for product-form networks of single servers; delay stations count as think time. Constant delays break
// the upper one: their throughput may reach the asymptotic bound.
func (w Network) BalancedJob(n int) (Limits, error) {
	l, err := w.Asymptotic(n)
	if err != nil {
		return Limits{}, fmt.Errorf("balanced job bounds: %w", err)
	}
	think, demand, most, k := w.ThinkS, 0.0, 0.0, 0
	for _, s := range w.Stations {
		switch {
		case s.Servers == Delay:
			think += s.DemandS
		case s.Servers > 1:
			return Limits{}, fmt.Errorf("balanced job bounds: station %q has %d servers; accepted: 1, or Delay", s.Name, s.Servers)
		case s.DemandS > 0:
			demand, most, k = demand+s.DemandS, max(most, s.DemandS), k+1
		}
	}
	if k == 0 || n == 0 {
		return l, nil
	}
	size, mean := float64(n), demand/float64(k)
	l.LowerPerS = size / (think + demand + (size-1)*most/(1+think/(size*demand)))
	l.UpperPerS = min(1/most, size/(think+demand+(size-1)*mean/(1+think/demand)))
	l.BestS = size/l.UpperPerS - w.ThinkS
	l.WorstS = size/l.LowerPerS - w.ThinkS
	return l, nil
}
