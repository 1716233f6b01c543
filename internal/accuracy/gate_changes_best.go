package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"coinbench/capacity/gate"
)

// changeSeries is a series of 60 gates whose level varies by 0.4 %.
func changeSeries(seed, stream uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, stream))
	values := make([]float64, 60)
	for i := range values {
		values[i] = 30 * (1 + .004*r.NormFloat64())
	}
	return values
}

// likeliest is the maximum likelihood estimate of where a series of normal noise, whose level and size are not known, changes once, with
// segments of three points at least, and twice the logarithm of its likelihood ratio to that without a change (Hinkley, "Inference about
// the change-point in a sequence of random variables", Biometrika 57, 1970): n ln(S0/S1) of the sums of squares without it and with it.
func likeliest(values []float64) (at int, ratio float64) {
	const least = 3
	n, all := len(values), gate.NewSample(values)
	whole, left := all.SD*all.SD*float64(n-1), 0.0
	for i := 1; i <= n-least; i++ {
		left += values[i-1] - all.Mean
		if i < least {
			continue
		}
		between := left * left * float64(n) / float64(i*(n-i)) // of the squares, by the two levels
		if r := float64(n) * math.Log(whole/(whole-between)); r > ratio {
			at, ratio = i, r
		}
	}
	return at, ratio
}

// gateChangesBest counts what the likeliest place is worth, at given rates of false alarms.
func gateChangesBest() table {
	alarms := []float64{.004, .01}
	return table{name: "gate-changes-best", title: "What can be known of a change", text: `
The same series, 20,000 of each: how many of 200 the maximum likelihood estimate of one change places within a gate of where it is. It is told that
there is one change, that the noise is normal, and in the first column that there is a change in this series; in the others it must also see
that there is, with a limit that so many of 20,000 series which are alike exceed.`, rows: func() ([][]string, error) {
		const n = 20_000
		var alike []float64
		for seed := range uint64(n) {
			_, ratio := likeliest(changeSeries(seed, 13))
			alike = append(alike, ratio)
		}
		slices.Sort(alike)
		rows := [][]string{{"series", "told that there is a change"}}
		for _, a := range alarms {
			rows[0] = append(rows[0], fmt.Sprintf("false alarms in %s", gate.Percent(a)))
		}
		for _, c := range stepSeries() {
			counts := make([]int, 1+len(alarms))
			for seed := range uint64(n) {
				values := changeSeries(seed, 11)
				c.change(values)
				at, ratio := likeliest(values)
				if at < c.at-1 || at > c.at+1 {
					continue
				}
				counts[0]++
				for i, a := range alarms {
					if ratio > alike[int((1-a)*n)] {
						counts[1+i]++
					}
				}
			}
			row := []string{c.name}
			for _, k := range counts {
				row = append(row, fmt.Sprintf("%.0f", 200*float64(k)/n))
			}
			rows = append(rows, row)
		}
		return rows, nil
	}}
}
