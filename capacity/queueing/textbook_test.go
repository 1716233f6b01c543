package queueing

import "testing"

// Rows of textbooks, each named with its page. Three digits are printed, so three are compared.
//
// Bolch: G. Bolch, S. Greiner, H. de Meer, K. S. Trivedi, Queueing Networks and Markov Chains, Wiley, 1998.
// Jain: R. Jain, The Art of Computer Systems Performance Analysis, Wiley, 1991.

// residences checks number present and time of a visit, station by station.
func residences(t *testing.T, got []Residence, visits, present, perVisitS []float64) {
	t.Helper()
	for k, r := range got {
		near(t, "number present at "+r.Name, r.Present, present[k], 1e-3)
		near(t, "time of a visit to "+r.Name, r.ResidenceS/visits[k], perVisitS[k], 1e-3)
	}
}

// An open network: four arrivals a second at the last station, each visits the first five times, the middle ones 2.5 times.
func TestBolch1998Page287Example74(t *testing.T) {
	for _, station := range []struct {
		name                                              string
		ratePerS, serviceS, utilisation, responseS, there float64
	}{
		{"1", 20, .04, .8, .2, 4},
		{"2", 10, .03, .3, .043, .429},
		{"3", 10, .06, .6, .15, 1.5},
		{"4", 4, .05, .2, .0625, .25},
	} {
		q, err := MM1(station.ratePerS, station.serviceS)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "utilisation of "+station.name, q.Utilisation, station.utilisation, 1e-9)
		near(t, "response time of "+station.name, q.ResponseS, station.responseS, 1e-3)
		near(t, "number present at "+station.name, q.Present, station.there, 1e-3)
	}
}

// A closed network of four single servers and six jobs.
func TestBolch1998Page331Example83(t *testing.T) {
	visits, service := []float64{1, .4, .2, .1}, []float64{.02, .2, .4, .6}
	var w Network
	for k, v := range visits {
		w.Stations = append(w.Stations, Station{string(rune('1' + k)), v * service[k], 1})
	}
	curve, err := w.MVA(6)
	if err != nil {
		t.Fatal(err)
	}
	solved, err := w.Solve(6)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Solution{curve[5], solved} {
		near(t, "throughput", s.RatePerS, 9.920, 1e-3)
		residences(t, s.Residences, visits, []float64{.244, 2.261, 2.261, 1.234}, []float64{.025, .570, 1.140, 1.244})
		for k, want := range []float64{.198, .794, .794, .595} {
			near(t, "utilisation", s.Residences[k].Utilisation, want, 1e-3)
		}
	}
}

// A closed network with a station of two servers and one without waiting, three jobs; page 349 (example 8.7) finds the same by
// another algorithm.
func TestBolch1998Page333Example84(t *testing.T) {
	visits := []float64{1, .5, .5, 1}
	s, err := Network{Stations: []Station{{"1", .5, 2}, {"2", .5 * .6, 1}, {"3", .5 * .8, 1}, {"4", 1, Delay}}}.Solve(3)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "throughput", s.RatePerS, 1.218, 1e-3)
	residences(t, s.Residences, visits, []float64{.624, .473, .686, 1.217}, []float64{.512, .776, 1.127, 1})
	for k, want := range []float64{.304, .365, .487} {
		near(t, "utilisation", s.Residences[k].Utilisation, want, 1e-3)
	}
}

// Twenty users who think for 4 s, a processor and two disks.
func TestJain1991Page577(t *testing.T) {
	visits := []float64{16, 10, 5}
	curve, err := Network{ThinkS: 4, Stations: []Station{{"cpu", 16 * .125, 1}, {"disk a", 10 * .3, 1}, {"disk b", 5 * .2, 1}}}.MVA(20)
	if err != nil {
		t.Fatal(err)
	}
	residences(t, curve[19].Residences, visits, []float64{1.991, 16.177, .500}, []float64{.373, 4.854, .300})
}
