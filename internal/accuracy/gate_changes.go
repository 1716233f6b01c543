package main

import (
	"fmt"

	"coinbench/capacity/gate"
)

// changedSeries is a kind of series with a change.
type changedSeries struct {
	name  string
	count int
	at    int // of the change; 0: none
	change
}

// stepSeries are those whose level changes once.
func stepSeries() []changedSeries {
	return []changedSeries{
		{"1 % less, four gates ago", 200, 56, less(.01, 56)},
		{"1 % less, eight gates ago", 200, 52, less(.01, 52)},
		{"2 % less, four gates ago", 200, 56, less(.02, 56)},
		{"1 % less, in the middle", 200, 30, less(.01, 30)},
	}
}

// gateChanges counts what the two detectors find together.
func gateChanges() table {
	return table{name: "gate-changes", title: "Changes in a history", text: `
Series of 60 gates whose level varies by 0.4 %: how many have any change, and in how many the one that was made is found, within a gate of its place.`,
		rows: func() ([][]string, error) {
			rows := [][]string{{"series", "with any change", "with the right one alone"}}
			for _, c := range append([]changedSeries{
				{"alike", 1000, 0, func([]float64) {}},
				{"one gate ten standard deviations higher", 1000, 0, func(v []float64) { v[30] *= 1.04 }},
			}, stepSeries()...) {
				any, right := 0, 0
				for seed := range uint64(c.count) {
					values := changeSeries(seed, 11)
					c.change(values)
					found := gate.Changes(values, nil, seed)
					if len(found) > 0 {
						any++
					}
					if len(found) == 1 && c.at > 0 && found[0].Index >= c.at-1 && found[0].Index <= c.at+1 {
						right++
					}
				}
				row := []string{c.name, fmt.Sprintf("%d of %d", any, c.count), ""}
				if c.at > 0 {
					row[2] = fmt.Sprintf("%d of %d", right, c.count)
				}
				rows = append(rows, row)
			}
			return rows, nil
		}}
}

// change is done to a series.
type change func(values []float64)

func less(share float64, from int) change {
	return func(values []float64) {
		for i := from; i < len(values); i++ {
			values[i] *= 1 - share
		}
	}
}
