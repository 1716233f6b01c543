package queueing

import (
	"errors"
	"fmt"
	"math"
)

// Delay, as Station.Servers, says that no job ever waits there.
const Delay = 0

// Station is a resource of a closed network.
type Station struct {
	Name    string
	DemandS float64 // D = V S: seconds of service that one job needs here in all its visits
	Servers int     // 1, more with one common queue, or Delay
}

// Network is a closed network of one class: clients that think, visit the stations and begin again.
//
// Its exact solutions assume product form: routing without memory, and at first-come-first-served stations exponential
// service times. Delay stations and the think time may have any distribution. How a balancer spreads requests
// is part of the stations: random routing to R replicas is exactly R stations of D/R each (see Split). Round robin and least connections
// feed R queues, too, but remember: they have no product form, and lie between that and one station with R servers, in whose common queue
// no request waits while a server is free.
type Network struct {
	ThinkS   float64
	Stations []Station
}

// Split returns the stations of a service whose requests are spread at random over replicas.
func (s Station) Split(replicas int) []Station {
	all := make([]Station, replicas)
	for i := range all {
		all[i] = Station{Name: fmt.Sprintf("%s.%d", s.Name, i+1), DemandS: s.DemandS / float64(replicas), Servers: s.Servers}
	}
	return all
}

// Solution is a closed network in its steady state.
type Solution struct {
	Clients    int
	RatePerS   float64 // X
	ResponseS  float64 // R: without the think time
	Residences []Residence
}

// Residence is what a job meets at one station.
type Residence struct {
	Name        string
	ResidenceS  float64 // waiting and service of one job, all its visits
	Present     float64 // mean number of jobs there
	Utilisation float64 // of each server; at a delay station the mean number present
}

func (w Network) check(n int) error {
	faults := []error{atLeast("clients", n, 0), notNegative("think time", w.ThinkS)}
	total := w.ThinkS
	for _, s := range w.Stations {
		faults = append(faults, notNegative("demand of "+s.Name, s.DemandS), atLeast("servers of "+s.Name, s.Servers, 0))
		total += s.DemandS
	}
	if total == 0 {
		faults = append(faults, errors.New("think time and demands are all 0; accepted: one that is positive"))
	}
	return errors.Join(faults...)
}

// MVA solves the network exactly for 1 to n clients by mean value analysis, in O(n x stations). Its stations are single
// servers or delays; Solve takes any number of servers. The arrival theorem (Reiser and Lavenberg 1980;
// Lazowska 1984, section 6.3, algorithm 6.2):
//
//	R_k(N) = D_k (1 + Q_k(N-1))      X(N) = N / (Z + sum R_k(N))      Q_k(N) = X(N) R_k(N)
func (w Network) MVA(n int) ([]Solution, error) {
	if err := check("mva", w.check(n)); err != nil {
		return nil, err
	}
	for _, s := range w.Stations {
		if s.Servers > 1 {
			return nil, fmt.Errorf("mva: station %q has %d servers; accepted: 1 or Delay here, any number in Solve", s.Name, s.Servers)
		}
	}
	present := make([]float64, len(w.Stations))
	curve := make([]Solution, 0, n)
	for size := 1; size <= n; size++ {
		s := Solution{Clients: size, Residences: make([]Residence, len(w.Stations))}
		for k, st := range w.Stations {
			r := st.DemandS
			if st.Servers == 1 {
				r *= 1 + present[k]
			}
			s.Residences[k] = Residence{Name: st.Name, ResidenceS: r}
			s.ResponseS += r
		}
		s.RatePerS = float64(size) / (w.ThinkS + s.ResponseS)
		for k := range s.Residences {
			present[k] = s.RatePerS * s.Residences[k].ResidenceS
			s.Residences[k].Present = present[k]
			s.Residences[k].Utilisation = s.RatePerS * w.Stations[k].DemandS
		}
		curve = append(curve, s)
	}
	return curve, nil
}

// Solve solves the network exactly for n clients, stations with several servers included.
//
// It is the convolution algorithm (Buzen 1973; Lazowska 1984, section 8.5 gives the same solution as load-dependent MVA), in
// logarithms: every term is positive, so nothing cancels. The load-dependent recursion of MVA computes p(0) as 1 minus the
// rest and loses all digits at high load. With f_k(j) = D_k^j / (product of min(i, c_k) for i to j):
//
//	G = f_Z * f_1 * ... * f_K      X(N) = G(N-1)/G(N)      p_k(j|N) = f_k(j) G_without_k(N-j) / G(N)
//
// Time O(n² x multi-server stations + n x stations). Accepted: up to 20,000 clients.
func (w Network) Solve(n int) (Solution, error) {
	if err := check("solve", w.check(n)); err != nil {
		return Solution{}, err
	}
	if n > 20_000 {
		return Solution{}, fmt.Errorf("solve: %d clients; accepted: up to 20000", n)
	}
	s := Solution{Clients: n, Residences: make([]Residence, len(w.Stations))}
	for k, st := range w.Stations {
		s.Residences[k] = Residence{Name: st.Name, ResidenceS: st.DemandS}
	}
	if n == 0 {
		return s, nil
	}
	delay := w.ThinkS
	for _, st := range w.Stations {
		if st.Servers == Delay {
			delay += st.DemandS
		}
	}
	// The order puts the O(n²) stations first, so that the constants without one of them can share the prefix.
	base := factors(delay, Delay, n)
	for _, st := range w.Stations {
		if st.Servers == 1 {
			convolveSingle(base, st.DemandS)
		}
	}
	multi := []int{}
	for k, st := range w.Stations {
		if st.Servers > 1 {
			multi = append(multi, k)
		}
	}
	g := append([]float64(nil), base...)
	f := map[int][]float64{}
	for _, k := range multi {
		f[k] = factors(w.Stations[k].DemandS, w.Stations[k].Servers, n)
		g = convolve(g, f[k])
	}
	s.RatePerS = math.Exp(g[n-1] - g[n])
	for k, st := range w.Stations {
		r := &s.Residences[k]
		switch {
		case st.Servers == Delay:
			r.Present = s.RatePerS * st.DemandS
			r.Utilisation = r.Present
		case st.Servers == 1:
			// Q = sum over j >= 1 of P(at least j) = D^j G(N-j)/G(N) (Buzen 1973, equation 9).
			for j := 1; j <= n && st.DemandS > 0; j++ {
				r.Present += math.Exp(float64(j)*math.Log(st.DemandS) + g[n-j] - g[n])
			}
			r.Utilisation = s.RatePerS * st.DemandS
		default:
			without := append([]float64(nil), base...)
			for _, m := range multi {
				if m != k {
					without = convolve(without, f[m])
				}
			}
			for j := 1; j <= n; j++ {
				r.Present += float64(j) * math.Exp(f[k][j]+without[n-j]-g[n])
			}
			r.Utilisation = s.RatePerS * st.DemandS / float64(st.Servers)
		}
		r.ResidenceS = r.Present / s.RatePerS
		s.ResponseS += r.ResidenceS
	}
	return s, nil
}

// factors are the logarithms of f(0..n) of one station.
func factors(demandS float64, servers, n int) []float64 {
	f := make([]float64, n+1)
	d := math.Log(demandS) // -Inf for 0: no job is ever there
	for j := 1; j <= n; j++ {
		busy := j
		if servers != Delay {
			busy = min(j, servers)
		}
		f[j] = f[j-1] + d - math.Log(float64(busy))
	}
	return f
}

// convolveSingle adds a single server in place: G(n) += D G(n-1).
func convolveSingle(g []float64, demandS float64) {
	if demandS == 0 {
		return
	}
	d := math.Log(demandS)
	for n := 1; n < len(g); n++ {
		g[n] = logSum(g[n], d+g[n-1])
	}
}

func logSum(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// convolve returns the convolution of two sequences of logarithms.
func convolve(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for n := range out {
		largest := math.Inf(-1)
		for j := 0; j <= n; j++ {
			largest = max(largest, a[j]+b[n-j])
		}
		if math.IsInf(largest, -1) {
			out[n] = largest
			continue
		}
		sum := 0.0
		for j := 0; j <= n; j++ {
			// A term below e^-40 of the largest is beyond a float64's digits.
			if x := a[j] + b[n-j] - largest; x > -40 {
				sum += math.Exp(x)
			}
		}
		out[n] = largest + math.Log(sum)
	}
	return out
}
