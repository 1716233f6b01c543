package reports

import (
	"fmt"
	"image/color"
	"io"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"coinbench/capacity"
	"coinbench/capacity/model"
)

// WhatIf is what the plots of a plan show: predictions over workers and rng, the plan, and what was measured.
type WhatIf struct {
	Grid     model.Grid
	Goal     model.Goal
	Plan     *model.Setting
	Measured []MeasuredPoint
}

// MeasuredPoint is a measured state of the app.
type MeasuredPoint struct {
	Workers int
	RNG     int
	Hasher  int
	PerS    float64
	Name    string
}

// MeasuredPoints are the windows of a run that lie on a grid: the same think time and balancing, no errors.
func MeasuredPoints(a *capacity.Analysis, base model.Setting) []MeasuredPoint {
	var all []MeasuredPoint
	for i := range a.Windows {
		w := &a.Windows[i]
		c := w.Config
		if w.HashRate == nil || w.Errors > 0 || c.Updating || c.KeepAlive || c.Balance != base.Balance || !near(c.ThinkS, base.Think.Seconds()) || c.Replicas["worker"] == 0 {
			continue
		}
		p := MeasuredPoint{Workers: c.Replicas["worker"], RNG: c.Replicas["rng"], Hasher: c.Replicas["hasher"], PerS: w.HashRate.Value, Name: w.Name}
		all = slices.DeleteFunc(all, func(o MeasuredPoint) bool { return o.Workers == p.Workers && o.RNG == p.RNG }) // the later is the longer
		all = append(all, p)
	}
	return all
}

func near(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 }

// Heatmap draws the hash rate over workers and rng, as svg or png: numbers in the cells, the line on which the target is met, the
// plan, and measured points on top.
func Heatmap(w io.Writer, format string, x WhatIf) error {
	p := plot.New()
	dress(p, "workers", "rng replicas")
	g := x.Grid
	p.Add(cells{x})
	p.X.Min, p.X.Max = float64(g.Workers[0])-.5, float64(g.Workers[len(g.Workers)-1])+.5
	p.Y.Min, p.Y.Max = float64(g.RNG[0])-.5, float64(g.RNG[len(g.RNG)-1])+.5
	p.X.Tick.Marker, p.Y.Tick.Marker = whole2(g.Workers), whole2(g.RNG)
	legend := []keyEntry{{color: okabeIto[vermilion], box: true, text: "the plan"}, {color: ink, text: "measured: hashes/s, and how far the prediction is off"}}
	if x.Goal.PerS > 0 {
		legend = append(legend, keyEntry{color: okabeIto[green], line: true, text: "target of " + figures(x.Goal.Required()) + " met to the right of and above this line"})
	}
	return save(w, format, p, "Predicted hash rate over workers and rng", fmt.Sprintf("hashes/s; %s, think %s, %s", plural(g.Base.Hasher, "hasher"), g.Base.Think, g.Base.Balance), legend)
}

// CostPlot draws cost against throughput: every combination of the grid, the cheapest ones joined, the target, the plan and measured points.
func CostPlot(w io.Writer, format string, x WhatIf) error {
	p := plot.New()
	dress(p, "cost", "hash rate (hashes/s)")
	costOf := func(workers, rng, hasher int) float64 {
		return float64(workers)*x.Goal.Cost["worker"] + float64(rng)*x.Goal.Cost["rng"] + float64(hasher)*x.Goal.Cost["hasher"]
	}
	var all, front plotter.XYs
	for i, r := range x.Grid.RNG {
		for j, n := range x.Grid.Workers {
			all = append(all, plotter.XY{X: costOf(n, r, x.Grid.Base.Hasher), Y: x.Grid.PerS[i][j]})
		}
	}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b plotter.XY) int {
		if a.X != b.X {
			if a.X < b.X {
				return -1
			}
			return 1
		}
		if a.Y > b.Y {
			return -1
		}
		return 1
	})
	for _, v := range sorted {
		if len(front) == 0 || v.Y > front[len(front)-1].Y*1.002 {
			front = append(front, v)
		}
		p.Y.Max, p.X.Max = max(p.Y.Max, v.Y*1.08), max(p.X.Max, v.X*1.03)
	}
	p.X.Min, p.Y.Min = 0, 0
	scatter, err := plotter.NewScatter(all)
	if err != nil {
		return fmt.Errorf("plot cost: %w", err)
	}
	scatter.GlyphStyle = draw.GlyphStyle{Color: okabeIto[grey], Radius: 2, Shape: draw.CircleGlyph{}}
	line, err := plotter.NewLine(front)
	if err != nil {
		return fmt.Errorf("plot cost: %w", err)
	}
	line.StepStyle, line.Width, line.Color = plotter.PostStep, 1.6, okabeIto[blue]
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color = 0, rule
	p.Add(grid)
	if need := x.Goal.Required(); need > 0 {
		target, err := plotter.NewLine(plotter.XYs{{X: 0, Y: need}, {X: p.X.Max, Y: need}})
		if err != nil {
			return fmt.Errorf("plot cost: %w", err)
		}
		target.Color, target.Dashes = okabeIto[green], []vg.Length{4, 3}
		p.Add(target)
	}
	p.Add(scatter, line)
	add := func(xys plotter.XYs, c color.Color, shape draw.GlyphDrawer, r vg.Length) error {
		s, err := plotter.NewScatter(xys)
		if err != nil {
			return fmt.Errorf("plot cost: %w", err)
		}
		s.GlyphStyle = draw.GlyphStyle{Color: c, Radius: r, Shape: shape}
		p.Add(s)
		return nil
	}
	var measured plotter.XYs
	for _, v := range x.Measured {
		measured = append(measured, plotter.XY{X: costOf(v.Workers, v.RNG, v.Hasher), Y: v.PerS})
	}
	if len(measured) > 0 {
		if err := add(measured, ink, openDiamond{}, 5); err != nil {
			return err
		}
	}
	if x.Plan != nil {
		i, j := slices.Index(x.Grid.RNG, x.Plan.RNG), slices.Index(x.Grid.Workers, x.Plan.Workers)
		if i >= 0 && j >= 0 {
			if err := add(plotter.XYs{{X: costOf(x.Plan.Workers, x.Plan.RNG, x.Plan.Hasher), Y: x.Grid.PerS[i][j]}}, okabeIto[vermilion], draw.RingGlyph{}, 7); err != nil {
				return err
			}
		}
	}
	return save(w, format, p, "Cost against throughput", fmt.Sprintf("each point is a number of workers and rng; worker %s, rng %s, hasher %s", price(x.Goal.Cost["worker"]), price(x.Goal.Cost["rng"]), price(x.Goal.Cost["hasher"])),
		[]keyEntry{{color: okabeIto[grey], text: "predicted"}, {color: okabeIto[blue], line: true, text: "the most for its cost"}, {color: okabeIto[green], line: true, text: "target"},
			{color: okabeIto[vermilion], box: true, text: "the plan"}, {color: ink, text: "measured"}})
}

// cells draws the heat map: one hue, the darker the more, with its number, for colours alone are no scale.
type cells struct{ x WhatIf }

// Plot implements plot.Plotter.
func (m cells) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	g := m.x.Grid
	most := 0.0
	for _, row := range g.PerS {
		most = max(most, slices.Max(row))
	}
	rect := func(n, r int) []vg.Point {
		x0, x1, y0, y1 := trX(float64(n)-.5), trX(float64(n)+.5), trY(float64(r)-.5), trY(float64(r)+.5)
		return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
	}
	measured := map[[2]int]MeasuredPoint{}
	for _, v := range m.x.Measured {
		measured[[2]int{v.Workers, v.RNG}] = v
	}
	need := m.x.Goal.Required()
	for i, r := range g.RNG {
		for j, n := range g.Workers {
			v := g.PerS[i][j]
			share := v / max(most, 1e-9)
			c.FillPolygon(shade(share), rect(n, r))
			label := style(8, ink)
			if share > .55 {
				label.Color = color.White
			}
			label.XAlign, label.YAlign = draw.XCenter, draw.YCenter
			at := vg.Point{X: trX(float64(n)), Y: trY(float64(r))}
			if got, ok := measured[[2]int{n, r}]; ok {
				at.Y += 7
				m.mark(c, label, at, got, v)
			}
			c.FillText(label, at, cellNumber(v))
			border := draw.LineStyle{Color: okabeIto[green], Width: 2}
			if need > 0 && v >= need {
				q := rect(n, r)
				if j == 0 || g.PerS[i][j-1] < need {
					c.StrokeLine2(border, q[0].X, q[0].Y, q[3].X, q[3].Y)
				}
				if i == 0 || g.PerS[i-1][j] < need {
					c.StrokeLine2(border, q[0].X, q[0].Y, q[1].X, q[1].Y)
				}
			}
		}
	}
	if s := m.x.Plan; s != nil && slices.Contains(g.Workers, s.Workers) && slices.Contains(g.RNG, s.RNG) {
		q := rect(s.Workers, s.RNG)
		c.StrokeLines(draw.LineStyle{Color: okabeIto[vermilion], Width: 2.5}, append(q, q[0]))
	}
}

// mark writes a measured point below the cell's number.
func (cells) mark(c draw.Canvas, label text.Style, at vg.Point, got MeasuredPoint, predicted float64) {
	label.Font.Size = 6
	c.DrawGlyph(draw.GlyphStyle{Color: label.Color, Radius: 2.5, Shape: openDiamond{}}, vg.Point{X: at.X - 11, Y: at.Y - 8})
	c.FillText(label, vg.Point{X: at.X + 2, Y: at.Y - 8}, cellNumber(got.PerS))
	c.FillText(label, vg.Point{X: at.X, Y: at.Y - 15}, signed(predicted/got.PerS-1))
}

func cellNumber(v float64) string {
	if v < 99.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// shade goes from nearly white to dark blue.
func shade(share float64) color.Color {
	from, to := [3]float64{0xf3, 0xf7, 0xfb}, [3]float64{0x08, 0x45, 0x7e}
	at := func(i int) uint8 { return uint8(from[i] + (to[i]-from[i])*min(1, max(0, share))) }
	return color.NRGBA{at(0), at(1), at(2), 255}
}

func whole2(values []int) plot.ConstantTicks {
	var all plot.ConstantTicks
	every := max(1, len(values)/20)
	for i, v := range values {
		t := plot.Tick{Value: float64(v)}
		if i%every == 0 {
			t.Label = strconv.Itoa(v)
		}
		all = append(all, t)
	}
	return all
}

func dress(p *plot.Plot, x, y string) {
	for _, a := range []struct {
		axis  *plot.Axis
		label string
	}{{&p.X, x}, {&p.Y, y}} {
		a.axis.Label.Text = a.label
		align := a.axis.Label.TextStyle
		a.axis.Label.TextStyle = style(11, ink)
		a.axis.Label.TextStyle.XAlign, a.axis.Label.TextStyle.YAlign, a.axis.Label.TextStyle.Rotation = align.XAlign, align.YAlign, align.Rotation
		align = a.axis.Tick.Label
		a.axis.Tick.Label = style(9, soft)
		a.axis.Tick.Label.XAlign, a.axis.Tick.Label.YAlign = align.XAlign, align.YAlign
		a.axis.Padding = 0
	}
}

type keyEntry struct {
	color     color.Color
	line, box bool
	text      string
}

// save draws a plot below its title and legend.
func save(w io.Writer, format string, p *plot.Plot, title, sub string, legend []keyEntry) error {
	paint := func(c draw.Canvas) {
		c = margin(c)
		head := style(14, ink)
		head.YAlign = draw.YTop
		c.FillText(head, vg.Point{X: c.Min.X, Y: c.Max.Y}, title)
		small := style(9, soft)
		small.YAlign = draw.YTop
		c.FillText(small, vg.Point{X: c.Min.X, Y: c.Max.Y - 18}, sub)
		x, y := c.Min.X, c.Max.Y-36
		for _, e := range legend {
			switch {
			case e.line:
				c.StrokeLine2(draw.LineStyle{Color: e.color, Width: 2}, x, y-4, x+14, y-4)
			case e.box:
				c.StrokeLines(draw.LineStyle{Color: e.color, Width: 2}, []vg.Point{{X: x + 2, Y: y}, {X: x + 12, Y: y}, {X: x + 12, Y: y - 9}, {X: x + 2, Y: y - 9}, {X: x + 2, Y: y}})
			default:
				c.DrawGlyph(draw.GlyphStyle{Color: e.color, Radius: 4, Shape: openDiamond{}}, vg.Point{X: x + 7, Y: y - 4})
			}
			c.FillText(small, vg.Point{X: x + 18, Y: y}, e.text)
			x += 18 + small.Width(e.text) + 16
		}
		p.Draw(draw.Crop(c, 0, 0, 0, -52))
	}
	switch format {
	case "png":
		canvas := vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI), vgimg.UseBackgroundColor(color.White))
		paint(draw.New(canvas))
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	case "svg":
		canvas := vgsvg.New(plotWidth, plotHeight)
		paint(draw.New(canvas))
		_, err := canvas.WriteTo(w)
		return err
	}
	return fmt.Errorf("plot format %q; accepted: svg, png", format)
}
