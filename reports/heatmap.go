package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"

	"coinbench/capacity"
	"coinbench/capacity/model"
)

// WhatIf is what the plots of a plan show: predictions over replicas of the driver and of the first station, the plan, and what was
// measured.
type WhatIf struct {
	Grid     model.Grid
	Goal     model.Goal
	Plan     *model.Setting
	Measured []MeasuredPoint
}

// MeasuredPoint is a measured state of the app.
type MeasuredPoint struct {
	Drivers, First, Last int // replicas
	PerS                 float64
	Name                 string
}

// MeasuredPoints are the windows of a run that lie on a grid: the same think time and balancing, no errors.
func MeasuredPoints(a *capacity.Analysis, base model.Setting) []MeasuredPoint {
	var all []MeasuredPoint
	_, first, last := base.Parts()
	for i := range a.Windows {
		w := &a.Windows[i]
		c := w.Config
		if w.HashRate == nil || w.Errors > 0 || c.Updating || c.KeepAlive || c.Balance != base.Balance || !near(c.ThinkS, base.Think.Seconds()) ||
			c.Drivers() == 0 {
			continue
		}
		p := MeasuredPoint{Drivers: c.Drivers(), First: c.Replicas[first.Service], Last: c.Replicas[last.Service], PerS: w.HashRate.Value,
			Name: w.Name}
		// the later is the longer
		all = slices.DeleteFunc(all, func(o MeasuredPoint) bool { return o.Drivers == p.Drivers && o.First == p.First })
		all = append(all, p)
	}
	return all
}

func near(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 }

// Heatmap draws the hash rate over replicas of the driver and of the first station, as svg or png: numbers in the cells, the line on which
// the target is met, the plan, and measured points below the predicted ones.
func Heatmap(w io.Writer, format string, x WhatIf) error {
	_, _, last := x.Grid.Base.Parts()
	return writePlot(w, format, heatmapChart(x), fmt.Sprintf("hashes/s; %s, think %s, %s; below a prediction what was measured, and how "+
		"far the prediction is off",
		last.Count(x.Grid.Base.Last), x.Grid.Base.Think, x.Grid.Base.Balance))
}

func heatmapChart(x WhatIf) chart {
	g := x.Grid
	driver, first, _ := g.Base.Parts()
	c := chart{title: "Predicted hash rate over " + driver.Plural + " and " + first.Plural,
		x: axis{label: driver.Plural, min: float64(g.Drivers[0]) - .5, max: float64(g.Drivers[len(g.Drivers)-1]) + .5, ticks: counts(g.Drivers)},
		y: axis{label: first.Service + " replicas", min: float64(g.First[0]) - .5, max: float64(g.First[len(g.First)-1]) + .5,
			ticks: counts(g.First)}}
	highest := 0.0
	for _, row := range g.PerS {
		highest = max(highest, slices.Max(row))
	}
	measured := map[[2]int]MeasuredPoint{}
	for _, v := range x.Measured {
		measured[[2]int{v.Drivers, v.First}] = v
	}
	need := x.Goal.Required() * (1 - model.Tie) // as the plan is chosen
	cells := series{kind: cell}
	met := series{name: "target of " + figures(x.Goal.Required()) + " met to the right of and above this line", kind: edge, color: green}
	for i, r := range g.First {
		for j, n := range g.Drivers {
			v := g.PerS[i][j]
			at := xy{x: float64(n), y: float64(r), label: cellNumber(v), color: heat(v / max(highest, 1e-9))}
			if got, ok := measured[[2]int{n, r}]; ok && got.PerS > 0 {
				at.label += "\n" + cellNumber(got.PerS) + "\n" + signed(v/got.PerS-1)
			}
			cells.xy = append(cells.xy, at)
			if need > 0 && v >= need {
				if j == 0 || g.PerS[i][j-1] < need {
					met.xy = append(met.xy, xy{x: at.x - .5, y: at.y - .5, x2: at.x - .5, y2: at.y + .5})
				}
				if i == 0 || g.PerS[i-1][j] < need {
					met.xy = append(met.xy, xy{x: at.x - .5, y: at.y - .5, x2: at.x + .5, y2: at.y - .5})
				}
			}
		}
	}
	c.series = append(c.series, cells)
	if len(met.xy) > 0 {
		c.series = append(c.series, met)
	}
	if s := x.Plan; s != nil && slices.Contains(g.Drivers, s.Drivers) && slices.Contains(g.First, s.First) {
		c.series = append(c.series, series{name: "the plan", kind: outline, color: vermilion, xy: []xy{{x: float64(s.Drivers),
			y: float64(s.First)}}})
	}
	return c
}

// CostPlot draws cost against throughput: every combination of the grid, the best for each cost joined, the target, the plan and measured
// points.
func CostPlot(w io.Writer, format string, x WhatIf) error {
	driver, first, _ := x.Grid.Base.Parts()
	return writePlot(w, format, costChart(x), fmt.Sprintf("each point is a number of %s and %s; %s", driver.Plural, first.Plural,
		prices(x.Goal, x.Grid.Base)))
}

func costChart(x WhatIf) chart {
	c := chart{title: "Cost against throughput", x: axis{label: "cost"}, y: axis{label: "hash rate (hashes/s)"}}
	costOf := func(drivers, first, last int) float64 {
		return x.Goal.Price(model.Setting{Drivers: drivers, First: first, Last: last, Roles: x.Grid.Base.Roles})
	}
	predicted := series{name: "predicted", kind: points, color: grey}
	for i, r := range x.Grid.First {
		for j, n := range x.Grid.Drivers {
			predicted.xy = append(predicted.xy, xy{x: costOf(n, r, x.Grid.Base.Last), y: x.Grid.PerS[i][j]})
		}
	}
	sorted := slices.Clone(predicted.xy)
	slices.SortFunc(sorted, func(a, b xy) int {
		if a.x != b.x {
			return cmp.Compare(a.x, b.x)
		}
		return cmp.Compare(b.y, a.y)
	})
	best := series{name: "the best for its cost", kind: stairs, color: blue}
	for _, p := range sorted {
		if n := len(best.xy); n == 0 || p.y > best.xy[n-1].y {
			best.xy = append(best.xy, p)
		}
		c.x.max, c.y.max = max(c.x.max, p.x), max(c.y.max, p.y)
	}
	best.xy = append(best.xy, xy{x: c.x.max, y: best.xy[len(best.xy)-1].y})
	measured := series{name: "measured", kind: diamond, color: purple}
	for _, v := range x.Measured {
		measured.xy = append(measured.xy, xy{x: costOf(v.Drivers, v.First, v.Last), y: v.PerS})
		c.y.max = max(c.y.max, v.PerS)
	}
	need := x.Goal.Required()
	c.x.max, c.y.max = c.x.max*1.03, max(c.y.max, need)*1.1
	if need > 0 {
		c.series = append(c.series, series{name: "target", kind: dashed, color: green, xy: []xy{{y: need}, {x: c.x.max, y: need}}})
	}
	c.series = append(c.series, predicted, best, measured)
	if s := x.Plan; s != nil {
		i, j := slices.Index(x.Grid.First, s.First), slices.Index(x.Grid.Drivers, s.Drivers)
		if i >= 0 && j >= 0 {
			c.series = append(c.series, series{name: "the plan", kind: diamond, color: vermilion, xy: []xy{{x: costOf(s.Drivers, s.First, s.Last),
				y: x.Grid.PerS[i][j]}}})
		}
	}
	return c
}

func cellNumber(v float64) string {
	if v < 99.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// heat goes from nearly white to dark blue: one hue, with the number in each cell, for colours alone are no scale.
func heat(share float64) shade {
	from, to := [3]float64{0xf3, 0xf7, 0xfb}, [3]float64{0x08, 0x45, 0x7e}
	at := func(i int) int { return int(from[i] + (to[i]-from[i])*min(1, max(0, share))) }
	return shade(fmt.Sprintf("#%02x%02x%02x", at(0), at(1), at(2)))
}

// counts are ticks at whole numbers, at most about twenty of them labelled.
func counts(values []int) (all []tick) {
	every := max(1, (len(values)+19)/20)
	for i, v := range values {
		if i%every == 0 {
			all = append(all, tick{float64(v), strconv.Itoa(v)})
		}
	}
	return all
}
