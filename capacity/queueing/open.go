package queueing

import (
	"errors"
	"fmt"
	"math"
)

// ErrUnstable says that work arrives at least as fast as it can be done: the queue grows without end and has no mean.
var ErrUnstable = errors.New("no steady state: the servers are offered at least as much work as they can do")

// Queue is an open queue in its steady state.
type Queue struct {
	Utilisation float64 // of each server, 0..1
	WaitProb    float64 // share of the accepted arrivals that wait
	BlockProb   float64 // share of all arrivals that are turned away
	RatePerS    float64 // accepted arrivals
	WaitS       float64 // mean time in the queue, of the accepted
	ResponseS   float64 // mean time in queue and service
	Waiting     float64 // mean number in the queue
	Present     float64 // mean number in queue and service
}

// queue completes a Queue from the wait by Little's law.
func queue(ratePerS, serviceS float64, servers int, waitProb, waitS float64) Queue {
	return Queue{Utilisation: ratePerS * serviceS / float64(servers), WaitProb: waitProb, RatePerS: ratePerS,
		WaitS: waitS, ResponseS: waitS + serviceS, Waiting: ratePerS * waitS, Present: ratePerS * (waitS + serviceS)}
}

// MM1 is one server, Poisson arrivals, exponential service, first come first served:
// R = S / (1 - rho) (Kleinrock 1975, section 3.2; Harchol-Balter 2013, section 13.1). Needs rate x serviceS < 1.
func MM1(ratePerS, serviceS float64) (Queue, error) {
	q, err := MG1(ratePerS, serviceS, 1)
	if err != nil {
		return Queue{}, fmt.Errorf("m/m/1: %w", err)
	}
	return q, nil
}

// MD1 is one server, Poisson arrivals, constant service: half of M/M/1's wait (Kleinrock 1975, section 5.6).
// Needs rate x serviceS < 1.
func MD1(ratePerS, serviceS float64) (Queue, error) {
	q, err := MG1(ratePerS, serviceS, 0)
	if err != nil {
		return Queue{}, fmt.Errorf("m/d/1: %w", err)
	}
	return q, nil
}

// MG1 is one server, Poisson arrivals, any service time, first come first served. squaredCV is the service time's variance
// over its squared mean: 0 constant, 1 exponential. Pollaczek and Khinchine (Kleinrock 1975, section 5.6; Harchol-Balter
// 2013, section 23.4):
//
//	W = rho S (1 + CV²) / (2 (1 - rho))
//
// Needs rate x serviceS < 1.
func MG1(ratePerS, serviceS, squaredCV float64) (Queue, error) {
	if err := check("m/g/1", notNegative("rate", ratePerS), positive("service time", serviceS),
		notNegative("squared coefficient of variation", squaredCV)); err != nil {
		return Queue{}, err
	}
	rho := ratePerS * serviceS
	if rho >= 1 {
		return Queue{}, fmt.Errorf("m/g/1 at %.4g/s and %.4g s: utilisation %.3g: %w", ratePerS, serviceS, rho, ErrUnstable)
	}
	return queue(ratePerS, serviceS, 1, rho, rho*serviceS*(1+squaredCV)/(2*(1-rho))), nil
}

// MMC is c servers and one queue, Poisson arrivals, exponential service: W = C(c, a) S / (c (1 - rho)) with Erlang's C
// (Kleinrock 1975, section 3.5; Harchol-Balter 2013, section 14.3). Needs rate x serviceS < servers.
func MMC(ratePerS, serviceS float64, servers int) (Queue, error) {
	if err := check("m/m/c", notNegative("rate", ratePerS), positive("service time", serviceS), atLeast("servers", servers, 1)); err != nil {
		return Queue{}, err
	}
	a := ratePerS * serviceS
	wait, err := ErlangC(servers, a)
	if err != nil {
		return Queue{}, fmt.Errorf("m/m/c: %w", err)
	}
	return queue(ratePerS, serviceS, servers, wait, wait*serviceS/(float64(servers)-a)), nil
}

// ErlangB is the share of Poisson arrivals that find all servers busy and are lost, at an offered load of a erlangs
// (rate x service time). It holds for every service time distribution. The recursion B(c) = a B(c-1) / (c + a B(c-1)) is
// stable for any number of servers (Kleinrock 1975, section 3.6; Harchol-Balter 2013, section 14.2).
func ErlangB(servers int, erlangs float64) (float64, error) {
	if err := check("erlang b", atLeast("servers", servers, 0), notNegative("offered load", erlangs)); err != nil {
		return 0, err
	}
	b := 1.0
	for c := 1; c <= servers; c++ {
		b = erlangs * b / (float64(c) + erlangs*b)
	}
	return b, nil
}

// ErlangC is the share of Poisson arrivals that wait, at an offered load of a < servers erlangs and exponential service:
// C = B / (1 - rho (1 - B)) (Harchol-Balter 2013, section 14.3).
func ErlangC(servers int, erlangs float64) (float64, error) {
	if err := check("erlang c", atLeast("servers", servers, 1), notNegative("offered load", erlangs)); err != nil {
		return 0, err
	}
	if erlangs >= float64(servers) {
		return 0, fmt.Errorf("erlang c with %d servers and %.4g erlangs: %w", servers, erlangs, ErrUnstable)
	}
	b, _ := ErlangB(servers, erlangs)
	rho := erlangs / float64(servers)
	return b / (1 - rho*(1-b)), nil
}

// MMCK is c servers and room for k requests, those in service included; arrivals that find it full are lost. Poisson
// arrivals, exponential service (Kleinrock 1975, section 3.8 and its birth-death equations 3.11 f.). It has a steady state at any
// rate; needs k >= servers.
func MMCK(ratePerS, serviceS float64, servers, k int) (Queue, error) {
	if err := check("m/m/c/k", notNegative("rate", ratePerS), positive("service time", serviceS), atLeast("servers", servers, 1),
		atLeast("room", k, servers)); err != nil {
		return Queue{}, err
	}
	// p(j) = p(j-1) a / min(j, c), scaled by the largest so that no room is too large.
	p := make([]float64, k+1)
	largest, a := 0.0, math.Log(ratePerS*serviceS)
	for j := 1; j <= k; j++ {
		p[j] = p[j-1] + a - math.Log(float64(min(j, servers)))
		largest = max(largest, p[j])
	}
	sum := 0.0
	for j := range p {
		p[j] = math.Exp(p[j] - largest)
		sum += p[j]
	}
	q := Queue{BlockProb: p[k] / sum}
	for j := range p {
		q.Present += float64(j) * p[j] / sum
		q.Waiting += float64(max(0, j-servers)) * p[j] / sum
		if j >= servers && j < k {
			q.WaitProb += p[j] / sum
		}
	}
	q.RatePerS = ratePerS * (1 - q.BlockProb)
	q.Utilisation = q.RatePerS * serviceS / float64(servers)
	q.ResponseS = serviceS
	if q.RatePerS > 0 {
		q.WaitProb /= 1 - q.BlockProb
		q.WaitS = q.Waiting / q.RatePerS
		q.ResponseS += q.WaitS
	}
	return q, nil
}
